/*
 * Preloaded into the broker: writes down what it does to the files below one directory, in the order in which
 * it happens, so that a test can tell what a power cut would have left.
 *
 * POWER_CUT_DIRECTORY: the directory, with a slash. POWER_CUT_JOURNAL: where to write. POWER_CUT_DEAF: when set, syncing
 * is claimed and not done.
 *
 * A record is a header and the path; for a write the bytes follow. It is written before a write is done and
 * after a sync is done, so that whatever moment the process is killed at, nothing counts as synced that is not.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE = 2, SYNC = 3, UNLINK = 4, RENAME = 5 };

struct header {
  uint32_t kind;
  uint32_t path_bytes;
  uint64_t offset;
  uint64_t bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static const char *directory;
static int is_deaf;

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("POWER_CUT_JOURNAL");
  directory = getenv("POWER_CUT_DIRECTORY");
  is_deaf = getenv("POWER_CUT_DEAF") != NULL;
  if (file == NULL || directory == NULL) return;
  journal = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_watched(const char *path) {
  return journal >= 0 && strncmp(path, directory, strlen(directory)) == 0;
}

static int path_of(int fd, char *path, size_t size) {
  char link[64];
  if (journal < 0 || fd == journal) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, size - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return is_watched(path);
}

/* One system call for each record: a killed process leaves whole records, but for the last. */
static void note(uint32_t kind, const char *path, uint64_t offset, const void *bytes, uint64_t count) {
  struct header header = {kind, (uint32_t)strlen(path), offset, count};
  struct iovec parts[3] = {{&header, sizeof header}, {(void *)path, header.path_bytes}, {(void *)bytes, count}};
  pthread_mutex_lock(&lock);
  syscall(SYS_writev, journal, parts, bytes == NULL ? 2 : 3);
  pthread_mutex_unlock(&lock);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  static __typeof__(&pwrite64) real;
  char path[4096];
  if (real == NULL) real = REAL(pwrite64);
  if (path_of(fd, path, sizeof path)) note(WRITE, path, (uint64_t)offset, bytes, count);
  return real(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
  return pwrite64(fd, bytes, count, offset);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  static __typeof__(&write) real;
  char path[4096];
  if (real == NULL) real = REAL(write);
  if (path_of(fd, path, sizeof path)) note(WRITE, path, (uint64_t)lseek(fd, 0, SEEK_CUR), bytes, count);
  return real(fd, bytes, count);
}

int ftruncate64(int fd, off64_t length) {
  static __typeof__(&ftruncate64) real;
  char path[4096];
  if (real == NULL) real = REAL(ftruncate64);
  if (path_of(fd, path, sizeof path)) note(TRUNCATE, path, (uint64_t)length, NULL, 0);
  return real(fd, length);
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int synced(int fd, int (*real)(int)) {
  char path[4096];
  if (!path_of(fd, path, sizeof path)) return real(fd);
  if (is_deaf) return 0;
  int result = real(fd);
  if (result == 0) note(SYNC, path, 0, NULL, 0);
  return result;
}

int fsync(int fd) {
  static __typeof__(&fsync) real;
  if (real == NULL) real = REAL(fsync);
  return synced(fd, real);
}

int fdatasync(int fd) {
  static __typeof__(&fdatasync) real;
  if (real == NULL) real = REAL(fdatasync);
  return synced(fd, real);
}

int unlink(const char *path) {
  static __typeof__(&unlink) real;
  if (real == NULL) real = REAL(unlink);
  if (is_watched(path)) note(UNLINK, path, 0, NULL, 0);
  return real(path);
}

int rename(const char *from, const char *to) {
  static __typeof__(&rename) real;
  if (real == NULL) real = REAL(rename);
  if (is_watched(to)) note(RENAME, from, 0, to, strlen(to));
  return real(from, to);
}

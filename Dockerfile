# The broker in a container: docker build -t heddle . && docker run -p 1883:1883 -p 8083:8083 -v heddle:/data heddle
# Sessions and messages are in the volume.
#
# Clients outside the container are not on loopback, so by default they are refused. To let everybody in who can reach
# it: -e HEDDLE_AUTHENTICATION_ANONYMOUS=always. A configuration file: -v ./heddle.yaml:/app/heddle.yaml:ro
# -e HEDDLE_CONFIG=heddle.yaml.

FROM oven/bun:1.4.5-slim AS packages
WORKDIR /app
COPY package.json bun.lock bunfig.toml ./
RUN bun install --frozen-lockfile --production

FROM oven/bun:1.4.5-slim
WORKDIR /app
ENV NODE_ENV=production
COPY --from=packages /app/node_modules ./node_modules
COPY package.json bunfig.toml ./
COPY src ./src
# The program's own folder is not its user's to write to.
RUN mkdir /data && chown bun:bun /data
ENV HEDDLE_STORAGE_PATH=/data
VOLUME /data
USER bun
EXPOSE 1883 8083
ENTRYPOINT ["bun", "src/main.ts"]

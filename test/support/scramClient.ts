/** The client's side of SCRAM-SHA-256, by the words of RFC 5802 section 3 and not by our server's code. */

import { createHash, createHmac, pbkdf2Sync } from "node:crypto"

const hmac = (key: Uint8Array, text: string): Buffer => createHmac("sha256", key).update(text).digest()

export const clientFirst = (username: string, nonce: string, header = "n,,"): string =>
  `${header}n=${username.replaceAll("=", "=3D").replaceAll(",", "=2C")},r=${nonce}`

export interface ClientFinal {
  readonly message: string
  /** What the server must answer with. */
  readonly expected: string
}

export const clientFinal = (
  first: string,
  serverFirst: string,
  password: string,
  header = "n,,"
): ClientFinal => {
  const [nonce, salt, iterations] = serverFirst.split(",").map((part) => part.slice(2))
  const salted = pbkdf2Sync(password, Buffer.from(salt ?? "", "base64"), Number(iterations), 32, "sha256")
  const withoutProof = `c=${Buffer.from(header).toString("base64")},r=${nonce}`
  const message = `${first.slice(header.length)},${serverFirst},${withoutProof}`
  const clientKey = hmac(salted, "Client Key")
  const signature = hmac(createHash("sha256").update(clientKey).digest(), message)
  const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0))).toString("base64")
  return {
    message: `${withoutProof},p=${proof}`,
    expected: `v=${hmac(hmac(salted, "Server Key"), message).toString("base64")}`
  }
}

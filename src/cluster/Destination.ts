/**
 * Where something can be sent in a cluster: a node with all that is connected to it, or a cell, the part of
 * the durable state that one node at a time writes. As text, so that it is its own key and its own address.
 */

export type Destination = `node/${string}` | `cell/${number}`

export const nodeDestination = (id: string): Destination => `node/${id}`

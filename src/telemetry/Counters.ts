/**
 * What a tenant's actors count: plain numbers, added to where it happens and read by whoever exports them.
 *
 * Gauges (connections down to shared subscriptions) go up and down; the rest only grow. Every message that
 * enters or leaves is in exactly one of them, so that sent = received + dropped can be checked.
 */

import { Latencies } from "./Latencies.ts"

export class Counters {
  /** How long messages take. */
  readonly latencies = new Latencies()
  connections = 0
  sessions = 0
  subscriptions = 0
  /** QoS 1 and 2 messages that wait for clients or for their acknowledgements, and what they weigh. */
  queuedMessages = 0
  queuedBytes = 0
  retainedMessages = 0
  retainedBytes = 0
  /** Sessions that outlive their connections, and what waits for them. */
  persistentSessions = 0
  persistentBytes = 0
  /** What waits for clients, as far as it is in memory. */
  queuedMemoryBytes = 0
  transientSubscriptions = 0
  persistentSubscriptions = 0
  sharedSubscriptions = 0
  connectsAccepted = 0
  /** Connections of sessions that have ended, for whatever reason. */
  disconnects = 0
  /** Filters that were granted, and that were given up. */
  subscribed = 0
  unsubscribed = 0
  /** Clients that left unacknowledged what they were sent for too long. */
  clientsStalled = 0
  messagesReceived = 0
  bytesReceived = 0
  /** Of those, and of their payload, what came at QoS 1 and 2. */
  messagesReceivedQos1 = 0
  messagesReceivedQos2 = 0
  bytesReceivedQos1 = 0
  bytesReceivedQos2 = 0
  messagesSent = 0
  bytesSent = 0
  messagesSentQos1 = 0
  messagesSentQos2 = 0
  bytesSentQos1 = 0
  bytesSentQos2 = 0
  /** Of those that were sent: again, with DUP; and retained ones, to who has just subscribed. */
  messagesResent = 0
  bytesResent = 0
  retainedSent = 0
  retainedBytesSent = 0
  /** Messages that came with RETAIN. */
  retainedReceived = 0
  retainedBytesReceived = 0
  /** Publications that matched no subscription. */
  messagesUnmatched = 0
  droppedQueueFull = 0
  droppedSlowConsumer = 0
  droppedMailboxFull = 0
  droppedExpired = 0
  droppedTooLarge = 0
  droppedNotAuthorized = 0
  /** Refused by the tenant's policy, or withheld from a client by it. */
  droppedByPolicy = 0
  /** How often the policy threw, took too long or answered nonsense. */
  policyFailures = 0
  /** Handed back by a member of a shared subscription that nobody is in any more. */
  droppedNoMembers = 0
  droppedRetainedQuota = 0
  /** Refused because they would have gone to more sessions or groups than one message may. */
  droppedFanout = 0
  /** Refused because they could not be put on record. */
  droppedNotStored = 0
  /** Refused because a window of the tenant is used up, and their payload. */
  droppedQuota = 0
  bytesDroppedQuota = 0
  /** Connects and filters that were refused because of a limit of the tenant. */
  connectsRefusedQuota = 0
  subscribesRefusedQuota = 0
  /** How often somebody had to wait for a rate: PUBLISHes, SUBSCRIBEs and UNSUBSCRIBEs, what leaves. */
  throttledPublishes = 0
  throttledSubscribes = 0
  throttledDeliveries = 0
  throttledReplays = 0
  /** The most connections, and sessions, since the usage ledger last began an hour. */
  connectionsPeak = 0
  sessionsPeak = 0
}

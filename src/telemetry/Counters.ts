/**
 * What a tenant's actors count: plain numbers, added to where it happens and read by whoever exports them.
 *
 * Gauges (connections down to retained bytes) go up and down; the rest only grow. Every message that enters
 * or leaves is in exactly one of them, so that sent = received + dropped can be checked.
 */

export class Counters {
  connections = 0
  sessions = 0
  subscriptions = 0
  /** QoS 1 and 2 messages that wait for clients or for their acknowledgements, and what they weigh. */
  queuedMessages = 0
  queuedBytes = 0
  retainedMessages = 0
  retainedBytes = 0
  connectsAccepted = 0
  messagesReceived = 0
  bytesReceived = 0
  messagesSent = 0
  bytesSent = 0
  /** Publications that matched no subscription. */
  messagesUnmatched = 0
  droppedQueueFull = 0
  droppedSlowConsumer = 0
  droppedMailboxFull = 0
  droppedExpired = 0
  droppedTooLarge = 0
  droppedNotAuthorized = 0
  droppedNoMembers = 0
  droppedRetainedQuota = 0
  /** Refused because they could not be put on record. */
  droppedNotStored = 0
}

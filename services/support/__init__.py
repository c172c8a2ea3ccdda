"""support owns tickets, the conversations in them, queues, saved views, and the mail that comes in.

- A mail is stored as it came before anybody is told that it was taken, and read afterwards; one that cannot be read
  is in quarantine, where it can be listed, tried again and given up. None is lost and none is taken twice.
- A mail joins a ticket only on proof: a signed address or Message-ID, a mark that we wrote, a reference or a number
  together with a sender who is in the conversation. Everything else is a new ticket, with a suggestion at most.
- Machines are recognised and never answered.
- An answer is sent once, by notifications, in the same thread.
- Every change of a ticket is in its history and raises its version; a merge is counted and can be undone.
"""

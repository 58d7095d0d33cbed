//! What a boot journals before it moves: each is made by a [`Boot`](super::Boot), written and synced, and given back to it.
//!
//! One record holds the fence and, where the message has an order, its grant and settings: two records could be parted by a crash.
//! Who reads a journal goes through the records in order and overlooks those below the highest fence so far. Of two with the same fence
//! the lower grant holds: a message that was accepted twice must not undo the end that was journalled in between. Records that say
//! nothing of a grant leave it as it was.

use super::{Connections, Digest, Fence, Order};

/// A message that may be taken. Journal its fence, and the grant and settings of its order where there is one, then give it to
/// [`Boot::journalled`](super::Boot::journalled). Where journalling fails drop it: nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "what was accepted is to be journalled"]
pub struct Accepted {
    pub(super) fence: Fence,
    pub(super) order: Option<Order>,
    pub(super) digest: Digest,
}

impl Accepted {
    /// Where the pod stands once this is journalled.
    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// What is ordered; `None` of a discovery, and where the boot had ended before.
    pub const fn order(&self) -> Option<&Order> {
        self.order.as_ref()
    }

    /// Of the message.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// A message that was taken: it is journalled. Honour its order, then answer it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "what was taken is to be honoured and answered"]
pub struct Taken(pub(super) Accepted);

impl Taken {
    /// Where the pod stood when it took it.
    pub const fn fence(&self) -> Fence {
        self.0.fence
    }

    /// What to honour from now on.
    pub const fn order(&self) -> Option<&Order> {
        self.0.order()
    }

    /// Of the message.
    pub const fn digest(&self) -> Digest {
        self.0.digest
    }
}

/// What a boot that opens nothing more journals before its last word: a grant of 0, where the pod stands. Then give it to
/// [`Boot::end`](super::Boot::end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a boot ends once this is journalled"]
pub struct LastRecord {
    pub(super) fence: Option<Fence>,
}

impl LastRecord {
    /// To journal it with: that of the last message that was taken.
    pub const fn fence(&self) -> Option<Fence> {
        self.fence
    }

    /// To journal: none, which is not the same as no grant.
    pub const fn grant(&self) -> Connections {
        Connections::NONE
    }
}

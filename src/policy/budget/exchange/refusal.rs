//! Why a message was not taken.

/// Says what is wrong, and holds nothing of the message. Nothing changes where a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Longer than its kind may be. Nothing was read.
    #[error("longer than such a message may be")]
    Oversized,
    /// Not the one way in which such a message is written; names the part.
    #[error("not written as the protocol says: {0}")]
    Malformed(&'static str),
    /// Of a protocol version that this build does not speak, or with a field that a reader must understand and this one doesn't.
    #[error("of a newer protocol than this build speaks")]
    UnsupportedVersion,
    /// Signed by a key that this pod was not injected with.
    #[error("signed by an unknown key")]
    UnknownKey,
    /// Not signed by the key that it names.
    #[error("the signature is wrong")]
    BadSignature,
    /// Said by nobody who has a reply key of this pool.
    #[error("not said by a pod of this pool")]
    Forged,
    /// For another pool.
    #[error("for another pool")]
    OtherPool,
    /// For or of another pod: the address was reused, or the message went astray.
    #[error("for another pod")]
    OtherPod,
    /// For or of another run of the sidecar in this pod.
    #[error("for another boot")]
    OtherBoot,
    /// An older leader's.
    #[error("of an older leader")]
    LowerEpoch,
    /// A replay, or overtaken by a later one of the same leader.
    #[error("not newer than the last")]
    OldSequence,
    /// The first of a leader without a fresh nonce, or any with one that is not fresh.
    #[error("without a fresh nonce")]
    StaleNonce,
    /// A hello that was said to another asker, or at another time.
    #[error("in answer to another challenge")]
    OtherChallenge,
    /// An answer of a boot that follows another leader.
    #[error("of a boot that follows another leader")]
    OtherEpoch,
    /// An answer to another statement, discovery or look: an older one's is late.
    #[error("in answer to another statement")]
    OtherStatement,
}

impl Refusal {
    /// For metrics and conditions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Oversized => "Oversized",
            Self::Malformed(_) => "Malformed",
            Self::UnsupportedVersion => "UnsupportedVersion",
            Self::UnknownKey => "UnknownKey",
            Self::BadSignature => "BadSignature",
            Self::Forged => "Forged",
            Self::OtherPool => "OtherPool",
            Self::OtherPod => "OtherPod",
            Self::OtherBoot => "OtherBoot",
            Self::LowerEpoch => "LowerEpoch",
            Self::OldSequence => "OldSequence",
            Self::StaleNonce => "StaleNonce",
            Self::OtherChallenge => "OtherChallenge",
            Self::OtherEpoch => "OtherEpoch",
            Self::OtherStatement => "OtherStatement",
        }
    }
}

//! Why a shared fetch gives a reader nothing, or not all.

/// Why there is no head to share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unshared<F> {
    /// The response is this viewer's alone: fetch it for this viewer.
    #[error("the response is not to be shared")]
    NotShared,
    /// The fetch failed.
    #[error("the fetch failed")]
    Failed(F),
    /// The fetch ended without a word; another look-up starts it anew.
    #[error("the fetch was interrupted")]
    Interrupted,
}

/// Why a body ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The fetch ended too soon, or failed before its head.
    #[error("the fetch was interrupted")]
    Interrupted,
    /// It is longer than an entry may be.
    #[error("the body is longer than a cache entry may be")]
    TooLarge,
    /// The cache is full of what is being fetched and read.
    #[error("the cache has no room for the body")]
    NoRoom,
    /// It was read for so long that its room was needed for others.
    #[error("the body was read too slowly to be kept")]
    TooSlow,
    /// It is longer or shorter than its head declared.
    #[error("the body is not as long as its head declared")]
    WrongLength,
    /// The range that was asked for goes beyond it.
    #[error("the body ends before the range does")]
    PastTheEnd,
}

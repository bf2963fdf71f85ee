//! Closes a viewer's connection so that the close code arrives.
//!
//! The system resets a connection that is closed with unread bytes, and a reset overtakes the close frame: the player would
//! see 1006 instead of the code. So writing is shut down first, and what the viewer still sends is read and dropped until its
//! FIN.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// How much a viewer may still send.
const DISCARD_LIMIT: usize = 16 * 1024;

/// Sends `last`, shuts down writing, and waits for the viewer's FIN, for at most `linger` in all and at most 16 KiB. Errors are
/// ignored, since the connection ends anyway.
pub async fn finish<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    last: &[u8],
    linger: Duration,
) {
    finish_within(socket, last, linger, DISCARD_LIMIT).await;
}

/// The same for a peer that may still send `most` bytes, such as the rest of a body that is refused.
pub async fn finish_within<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    last: &[u8],
    linger: Duration,
    most: usize,
) {
    let ending = async {
        if socket.write_all(last).await.is_err() || socket.shutdown().await.is_err() {
            return;
        }
        let mut discard = vec![0; 1024];
        let mut discarded = 0;
        while discarded < most {
            match socket.read(&mut discard).await {
                Ok(0) | Err(_) => return,
                Ok(count) => discarded += count,
            }
        }
    };
    // A viewer that has not ended its side by then is cut off.
    let _ = timeout(linger, ending).await;
}

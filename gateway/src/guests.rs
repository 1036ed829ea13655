//! How many sockets and feeds are at work, so that the end can wait for them.

use tokio::sync::watch;

/// A count of guests.
pub struct Guests(watch::Sender<u32>);

/// One guest; dropping it counts it out, whatever path ended it.
pub struct Guest(watch::Sender<u32>);

impl Guests {
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Counts one more in.
    pub fn enter(&self) -> Guest {
        self.0.send_modify(|count| *count += 1);
        Guest(self.0.clone())
    }

    pub fn count(&self) -> u32 {
        *self.0.borrow()
    }

    /// Waits until all are gone.
    pub async fn gone(&self) {
        // It fails only when the sender is gone, which `self` holds.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

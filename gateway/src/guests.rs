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

    /// Counts one more in, unless there are `max` already.
    pub fn enter(&self, max: u32) -> Option<Guest> {
        let entered = self.0.send_if_modified(|count| {
            let free = *count < max;
            *count += u32::from(free);
            free
        });
        entered.then(|| Guest(self.0.clone()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_than_the_greatest_number_come_in_and_each_goes_out_by_itself() {
        let guests = Guests::new();
        let (first, second) = (guests.enter(2), guests.enter(2));
        assert!(second.is_some() && guests.enter(2).is_none());
        assert_eq!(guests.count(), 2);
        drop(first);
        assert!(guests.enter(2).is_some());
        drop(second);
        guests.gone().await;
    }
}

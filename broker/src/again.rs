//! Asking again. A stream whose leader has gone answers nothing until there is another, and what was asked meanwhile is lost for good:
//! whoever waited for that answer alone would be away for far longer than the broker was.

use crate::Error;
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{future::pending, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How often something is sent when the connection breaks under it.
const TRIES: u32 = 3;
/// The pauses without an answer after which a small request is sent again; each is longer than the one before by as much, so that a
/// broker that is slow since it is full is asked a few times and not without end.
pub(crate) const SMALL: Duration = Duration::from_millis(500);
/// The same, for a read that takes its time.
pub(crate) const LARGE: Duration = Duration::from_secs(2);

/// Asks once more when the connection broke under what changes nothing, or nothing more when it is done twice.
pub(crate) async fn when_disconnected<T, R>(once: impl Fn() -> R) -> Result<T, Error>
where
    R: Future<Output = Result<T, Error>>,
{
    for _ in 1..TRIES {
        match once().await {
            Err(Error::Disconnected) => {}
            answer => return answer,
        }
    }
    once().await
}

/// Asks once more each time that no answer came for a while, and goes on waiting for the others: the first answer counts, and what is
/// asked twice must do no more than what is asked once. [`Error::TimedOut`] of `ask` is no answer.
///
/// # Errors
/// That of the first answer; [`Error::TimedOut`] when `longest` is over.
pub(crate) async fn when_unanswered<T, R>(
    (pause, longest): (Duration, Duration),
    ask: impl Fn() -> R,
) -> Result<T, Error>
where
    R: Future<Output = Result<T, Error>>,
{
    let deadline = Instant::now() + longest;
    let mut asked = FuturesUnordered::new();
    for round in 1.. {
        asked.push(ask());
        let until = deadline.min(Instant::now() + pause * round);
        match timeout_at(until, answer(&mut asked)).await {
            Ok(answer) => return answer,
            Err(_) if until == deadline => break,
            Err(_) => tracing::debug!("no answer of the broker; it is asked again"),
        }
    }
    Err(Error::TimedOut)
}

/// The first answer of several. That nothing is known yet is none.
async fn answer<T>(asked: &mut FuturesUnordered<impl Future<Output = Result<T, Error>>>) -> Result<T, Error> {
    loop {
        match asked.next().await {
            Some(Err(Error::TimedOut)) => {}
            Some(answer) => return answer,
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::time::sleep;

    const LONGEST: Duration = Duration::from_millis(5_500);

    /// Asks somebody who answers what is asked at this moment, or later, and loses what was asked before.
    async fn asked_of_one_who_is_away_for(
        away: Duration,
        takes: Duration,
    ) -> (Result<u32, Error>, u32, Duration) {
        let (began, asked) = (Instant::now(), Cell::new(0));
        let ask = || {
            let number = asked.replace(asked.get() + 1);
            let is_lost = began.elapsed() < away;
            async move {
                sleep(if is_lost { LONGEST } else { takes }).await;
                if is_lost { Err(Error::TimedOut) } else { Ok(number) }
            }
        };
        let answer = when_unanswered((SMALL, LONGEST), ask).await;
        (answer, asked.get(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_answered_soon_is_asked_once() {
        let (answer, asked, _) =
            asked_of_one_who_is_away_for(Duration::ZERO, Duration::from_millis(400)).await;
        assert_eq!((answer, asked), (Ok(0), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_lost_is_asked_again_soon_after_somebody_is_there() {
        for away_ms in [100, 700, 1_600, 2_900, 4_900] {
            let away = Duration::from_millis(away_ms);
            let (answer, _, took) = asked_of_one_who_is_away_for(away, Duration::from_millis(1)).await;
            assert!(answer.is_ok(), "{away_ms}");
            assert!(took <= away * 2 + SMALL, "{away_ms}: {took:?}");
        }
        let (answer, asked, took) = asked_of_one_who_is_away_for(LONGEST, Duration::ZERO).await;
        assert_eq!((answer, asked, took), (Err(Error::TimedOut), 5, LONGEST));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_counts_also_when_it_is_slow() {
        let (answer, asked, took) =
            asked_of_one_who_is_away_for(Duration::ZERO, Duration::from_secs(2)).await;
        assert_eq!((answer, asked, took), (Ok(0), 3, Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn that_nothing_is_known_yet_is_no_answer() {
        let asked = Cell::new(0);
        let ask = || {
            let number = asked.replace(asked.get() + 1);
            async move {
                match number {
                    0 => return Err(Error::TimedOut),
                    1 => sleep(Duration::from_millis(1_100)).await,
                    _ => return Err(Error::TimedOut),
                }
                Ok("stored")
            }
        };
        let began = Instant::now();
        assert_eq!(when_unanswered((SMALL, LONGEST), ask).await, Ok("stored"));
        assert_eq!((asked.get(), began.elapsed()), (3, Duration::from_millis(1_600)));
    }
}

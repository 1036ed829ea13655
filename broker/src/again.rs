//! Asking again. A stream whose leader has gone answers nothing until there is another, and what was asked meanwhile is lost for good:
//! whoever waited for that answer alone would be away for far longer than the broker was.

use crate::{
    Error,
    connection::{ANSWER_LONGEST, ANSWER_MS},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{future::pending, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// How often something is sent when the connection breaks under it.
const TRIES: u32 = 3;
/// The first pause before somebody is asked again who is not there, and the longest.
const LEADERLESS: Duration = Duration::from_millis(50);
const LEADERLESS_MAX: Duration = Duration::from_millis(500);

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Without an answer it is asked again after this, and then after pauses that are each longer by as much, so that a broker that
    /// is slow since it is full is asked a few times and not without end.
    pause: Duration,
    longest: Duration,
}

/// For a small request.
pub(crate) const SMALL: Patience = Patience { pause: Duration::from_millis(500), longest: ANSWER_LONGEST };
/// For a read that takes its time.
pub(crate) const LARGE: Patience =
    Patience { pause: Duration::from_secs(2), longest: Duration::from_millis(2 * ANSWER_MS) };

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

/// Asks again while nobody is there: between two leaders nobody listens to a stream's subjects, and what was asked was not done.
///
/// # Errors
/// That of the first other answer; [`Error::NobodyThere`] when it is so for as long as an answer is waited for.
pub(crate) async fn when_nobody_is_there<T, R>(once: impl Fn() -> R) -> Result<T, Error>
where
    R: Future<Output = Result<T, Error>>,
{
    let (deadline, mut pause) = (Instant::now() + ANSWER_LONGEST, LEADERLESS);
    loop {
        match once().await {
            Err(Error::NobodyThere(_)) if Instant::now() + pause < deadline => sleep(pause).await,
            answer => return answer,
        }
        pause = (pause * 2).min(LEADERLESS_MAX);
    }
}

/// Asks once more each time that no answer came for a while, and goes on waiting for the others: the first answer counts, and what is
/// asked twice must do no more than what is asked once. [`Error::TimedOut`] of `ask` is no answer.
///
/// # Errors
/// That of the first answer; [`Error::TimedOut`] when the patience is at its end.
pub(crate) async fn when_unanswered<T, R>(
    Patience { pause, longest }: Patience,
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

    const LONGEST: Duration = SMALL.longest;

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
        let answer = when_unanswered(SMALL, ask).await;
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
            assert!(took <= away * 2 + SMALL.pause, "{away_ms}: {took:?}");
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
    async fn who_is_not_there_is_asked_until_somebody_is() {
        for away_ms in [0, 40, 300, 4_000] {
            let (began, away) = (Instant::now(), Duration::from_millis(away_ms));
            let ask = async || {
                if began.elapsed() < away { Err(Error::NobodyThere("it".into())) } else { Ok(()) }
            };
            assert_eq!(when_nobody_is_there(ask).await, Ok(()));
            assert!(began.elapsed() <= away + LEADERLESS_MAX, "{away_ms}: {:?}", began.elapsed());
        }
        let began = Instant::now();
        let ask = async || Err::<(), _>(Error::NobodyThere("it".into()));
        assert_eq!(when_nobody_is_there(ask).await, Err(Error::NobodyThere("it".into())));
        assert!(began.elapsed() <= ANSWER_LONGEST);
        let ask = async || Err::<(), _>(Error::Conflict);
        assert_eq!(when_nobody_is_there(ask).await, Err(Error::Conflict));
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
        assert_eq!(when_unanswered(SMALL, ask).await, Ok("stored"));
        assert_eq!((asked.get(), began.elapsed()), (3, Duration::from_millis(1_600)));
    }
}

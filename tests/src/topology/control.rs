//! How another process has a running topology do something: a line over a socket in its folder, and lines as answer.

use super::{Role, Topology};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

/// How often it is looked whether everything runs and is ready.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for an order from somebody who has come to give one, and how long it may be.
const HEARD: Duration = Duration::from_secs(5);
const ORDER_BYTES_MAX: u64 = 4096;
/// Lines of an answer that wait until they are read; more are not told.
const LINES_MAX: usize = 256;
/// The last line of an answer.
const DONE: &str = "done";

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Replace everything.
    Roll,
    /// Have so many of these.
    Scale(Vec<(Role, usize)>),
    /// Start these, by the names of pieces or roles; with none, everything that does not run.
    Start(Vec<String>),
    /// Stop these in order, until they are started.
    Stop(Vec<String>),
    /// Kill these, until they are started.
    Kill(Vec<String>),
    /// Kill these, and remove what they stored.
    Lose(Vec<String>),
}

/// What can be asked for.
const ORDERS: &str =
    "roll, scale gateways=4 workers=2 auth=2, start [nats-1 …], and stop, kill or lose nats-1 …";

/// How many there may be of one role on one machine.
pub const COUNT_MAX: usize = 16;

impl Order {
    /// Of a line such as `roll`, `scale gateways=4 workers=2 auth=1`, or `stop auth-service nats-1`.
    ///
    /// # Errors
    /// A sentence that says what can be asked for.
    pub fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let names: Vec<_> = words.clone().map(str::to_owned).collect();
        match verb {
            "roll" => Ok(Self::Roll),
            "scale" => words.map(wish).collect::<Result<_, _>>().map(Self::Scale),
            "start" => Ok(Self::Start(names)),
            "stop" if !names.is_empty() => Ok(Self::Stop(names)),
            "kill" if !names.is_empty() => Ok(Self::Kill(names)),
            "lose" if !names.is_empty() => Ok(Self::Lose(names)),
            _ => Err(format!("what can be asked for: {ORDERS}")),
        }
    }

    /// Does it; `say` gets a line for each step.
    ///
    /// # Errors
    /// A sentence that says why it was not done.
    pub async fn done_to(self, topology: &mut Topology, mut say: impl FnMut(String)) -> Result<(), String> {
        match self {
            Self::Roll => {
                let rolled = topology.roll(&mut say).await?;
                let disorder =
                    if rolled.disorder.is_empty() { "none".to_owned() } else { rolled.disorder.join("; ") };
                say(format!(
                    "{} processes were replaced in {:.0} s; did not stop in order: {disorder}",
                    rolled.replaced,
                    rolled.took.as_secs_f64()
                ));
            }
            Self::Scale(wishes) => {
                for (role, count) in wishes {
                    topology.scale(role, count).await?;
                    say(format!("there are {} of {role}", topology.of(role).count()));
                }
            }
            Self::Start(names) => topology.starts(&names).await?,
            Self::Stop(names) => topology.stops(&names).await?,
            Self::Kill(names) => topology.kills(&names).await?,
            Self::Lose(names) => topology.loses(&names).await?,
        }
        Ok(())
    }
}

fn wish(word: &str) -> Result<(Role, usize), String> {
    let fault =
        || format!("{word:?} is none of gateways=N, workers=N and auth=N, with N from 1 to {COUNT_MAX}");
    let (name, count) = word.split_once('=').ok_or_else(fault)?;
    let role = match name.to_lowercase().as_str() {
        "gateways" => Role::Gateway,
        "workers" => Role::HistoryWorker,
        "auth" => Role::Auth,
        _ => return Err(fault()),
    };
    let count = count.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count)).ok_or_else(fault)?;
    Ok((role, count))
}

/// Where the socket of the topology in a folder is.
pub fn socket_in(folder: &Path) -> PathBuf {
    folder.join("control")
}

/// Whether a topology takes orders at a socket.
pub async fn is_answered(socket: &Path) -> bool {
    UnixStream::connect(socket).await.is_ok()
}

/// # Errors
/// When the socket can't be made.
pub fn listen(folder: &Path) -> io::Result<UnixListener> {
    UnixListener::bind(socket_in(folder))
}

/// Looks after a topology and does what it is told, for ever. `say` gets a line for an order whose giver has gone.
pub async fn obey(orders: UnixListener, topology: &mut Topology, say: impl Fn(&str)) {
    let mut clock = interval(LOOK_EVERY);
    loop {
        // Inputs: an order, and the clock. Both only take what is there, so either may be cancelled.
        tokio::select! {
            stream = orders.accept() => {
                let Ok((stream, _)) = stream else { continue };
                if let Err(error) = serve(stream, topology).await {
                    say(&format!("an order was not answered: {error}"));
                }
            }
            _ = clock.tick() => topology.look().await,
        }
    }
}

/// Hears one order, and has it done.
///
/// # Errors
/// When whoever gave it is gone.
async fn serve(stream: UnixStream, topology: &mut Topology) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut lines = BufReader::new(from.take(ORDER_BYTES_MAX)).lines();
    let Ok(line) = timeout(HEARD, lines.next_line()).await else {
        return to.write_all(b"nothing was asked for in time\n").await;
    };
    let line = line?.unwrap_or_default();
    let order = match Order::parse(&line) {
        Ok(order) => order,
        Err(why) => return to.write_all(format!("{why}\n").as_bytes()).await,
    };
    let (say, mut said) = mpsc::channel(LINES_MAX);
    let telling = async move {
        while let Some(line) = said.recv().await {
            to.write_all(format!("{line}\n").as_bytes()).await?;
        }
        Ok(())
    };
    let doing = async {
        let done = order.done_to(topology, |line| drop(say.try_send(line))).await;
        let last = done.err().unwrap_or_else(|| DONE.to_owned());
        let _ = say.send(last).await;
        drop(say);
    };
    tokio::join!(doing, telling).1
}

/// Gives an order to the topology that runs in a folder. `say` gets each line of the answer.
///
/// # Errors
/// A sentence, when none runs there, or the order was not carried out.
pub async fn ask(socket: &Path, order: &str, mut say: impl FnMut(&str)) -> Result<(), String> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| format!("no cluster runs here ({error}): `make cluster` starts one"))?;
    let (from, mut to) = stream.into_split();
    to.write_all(format!("{order}\n").as_bytes()).await.map_err(|error| error.to_string())?;
    let mut lines = BufReader::new(from).lines();
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == DONE {
            return Ok(());
        }
        say(&line);
        last = line;
    }
    Err(format!("it was not done: {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_understood_or_says_what_one_is() {
        assert_eq!(Order::parse("roll"), Ok(Order::Roll));
        let scale = Order::parse("scale GATEWAYS=4 workers=1").unwrap();
        assert_eq!(scale, Order::Scale(vec![(Role::Gateway, 4), (Role::HistoryWorker, 1)]));
        let stop = Order::parse("stop auth-service nats-1").unwrap();
        assert_eq!(stop, Order::Stop(vec!["auth-service".to_owned(), "nats-1".to_owned()]));
        assert_eq!(Order::parse("start"), Ok(Order::Start(Vec::new())));
        for bad in
            ["", "stop", "lose", "scale gateways", "scale gateways=0", "scale nats=5", "scale gateways=17"]
        {
            assert!(Order::parse(bad).is_err(), "{bad}");
        }
    }
}

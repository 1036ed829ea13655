//! One accepted connection: its place in the counts, and a limit on how long a write may wait for the peer.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How many connections are open, in all and from each address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Total,
    Address,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    pub fn take(&self, address: IpAddr, total_max: usize, per_address_max: usize) -> Result<Place, Full> {
        let address = network(address);
        let mut taken = self.lock();
        if taken.total >= total_max {
            return Err(Full::Total);
        }
        let here = taken.by_address.entry(address).or_default();
        if *here >= per_address_max {
            return Err(Full::Address);
        }
        *here += 1;
        taken.total += 1;
        Ok(Place { places: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.total -= 1;
        let Some(here) = taken.by_address.get_mut(&self.address) else { return };
        *here -= 1;
        if *here == 0 {
            taken.by_address.remove(&self.address);
        }
    }
}

/// One person easily has a whole IPv6 /64; an IPv4 address stays as it is.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address @ IpAddr::V4(_) => address,
    }
}

/// A TCP stream that holds its place until it is closed, whoever has it by then (an upgraded connection outlives HTTP),
/// and that fails when the peer takes nothing for `write_stall_max`.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    write_stall_max: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl Connection {
    pub fn new(stream: TcpStream, place: Place, write_stall_max: Duration) -> Self {
        Self { stream, write_stall_max, stalled: None, _place: place }
    }

    /// Lets a write that made progress pass, and bounds how long one may make none.
    fn watch<T>(&mut self, context: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let limit = self.write_stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_when_it_is_dropped() {
        let places = Places::default();
        let home: IpAddr = "192.0.2.1".parse().unwrap();
        let first = places.take(home, 2, 1).unwrap();
        assert_eq!(places.take(home, 2, 1).unwrap_err(), Full::Address);
        drop(first);
        assert!(places.take(home, 2, 1).is_ok());
        assert!(places.lock().by_address.is_empty());
    }

    #[test]
    fn the_total_is_limited_over_all_addresses() {
        let places = Places::default();
        let _first = places.take("192.0.2.1".parse().unwrap(), 1, 1).unwrap();
        assert_eq!(places.take("192.0.2.2".parse().unwrap(), 1, 1).unwrap_err(), Full::Total);
    }

    #[test]
    fn a_whole_ipv6_network_counts_as_one_address() {
        let places = Places::default();
        let _first = places.take("2001:db8::1".parse().unwrap(), 9, 1).unwrap();
        assert_eq!(places.take("2001:db8::2".parse().unwrap(), 9, 1).unwrap_err(), Full::Address);
        assert!(places.take("2001:db8:0:1::1".parse().unwrap(), 9, 1).is_ok());
    }
}

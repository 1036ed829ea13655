//! One non-blocking connection, as the load generator and the ceiling server both use it.

use mio::{Interest, Registry, Token, net::TcpStream};
use std::io::{ErrorKind, Read, Write};

/// Bytes of the one read buffer that all links of a thread share.
pub const SCRATCH_BYTES: usize = 256 * 1024;

/// What one read brought.
#[derive(Debug, Clone, Copy)]
pub struct Got {
    /// Bytes at the start of the scratch buffer: what was kept before, and what came now.
    pub bytes: usize,
    /// The peer may have sent more than was read.
    pub more: bool,
    /// The peer is gone.
    pub ended: bool,
}

/// A connection that keeps bytes only while it waits for the rest of a frame.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    partial: Vec<u8>,
    /// What the socket did not take yet. Unbounded: a load generator sends what it was told to, and a ceiling server's
    /// members are load generators.
    pending: Vec<u8>,
}

impl Link {
    /// # Errors
    /// When the stream can't be watched.
    pub fn new(mut stream: TcpStream, registry: &Registry, token: Token) -> std::io::Result<Self> {
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, partial: Vec::new(), pending: Vec::new() })
    }

    /// Whether the connection came about.
    ///
    /// # Errors
    /// Why it did not.
    pub fn connected(&self) -> std::io::Result<()> {
        self.stream.take_error()?.map_or(Ok(()), Err)?;
        self.stream.set_nodelay(true)
    }

    /// Reads once into `scratch`.
    pub fn read(&mut self, scratch: &mut [u8]) -> Got {
        let have = self.partial.len();
        scratch[..have].copy_from_slice(&self.partial);
        match self.stream.read(&mut scratch[have..]) {
            Ok(0) => Got { bytes: have, more: false, ended: true },
            Ok(read) => Got { bytes: have + read, more: have + read == scratch.len(), ended: false },
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Got { bytes: have, more: false, ended: false }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                Got { bytes: have, more: true, ended: false }
            }
            Err(_) => Got { bytes: have, more: false, ended: true },
        }
    }

    /// Keeps the start of a frame until its rest comes.
    pub fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
    }

    /// Writes at once what the socket takes, and the rest when it takes more.
    pub fn send(&mut self, bytes: &[u8]) {
        let written = if self.pending.is_empty() { self.stream.write(bytes).unwrap_or(0) } else { 0 };
        self.pending.extend_from_slice(&bytes[written..]);
    }

    /// To be called when the socket takes bytes again.
    pub fn flush(&mut self) {
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It is full again, or gone, which reading will tell.
                Err(_) => return,
            }
        }
        self.pending = Vec::new();
    }
}

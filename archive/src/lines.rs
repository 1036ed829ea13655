//! Lines of JSON, compressed: what `zcat` shows.

use std::io::Write;
use std::pin::Pin;

use async_compression::tokio::bufread::GzipDecoder;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncRead;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::io::StreamReader;

use crate::{Content, Error};

/// Bytes of lines that make a piece, before they are compressed.
const PIECE_BYTES: usize = 64 * 1024;
/// A line that is longer is none of ours: an event has 64 KiB at most, and a row some hundred reactions.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Makes compressed pieces of lines. The pieces, one behind the other, are a file.
pub struct Packer {
    lines: Vec<u8>,
}

impl Packer {
    #[must_use]
    pub const fn new() -> Self {
        Self { lines: Vec::new() }
    }

    /// Adds a line; gives a piece when there is enough for one.
    ///
    /// # Errors
    /// [`Error::Failed`] for what is no JSON.
    pub fn push(&mut self, line: &impl Serialize) -> Result<Option<Bytes>, Error> {
        serde_json::to_writer(&mut self.lines, line).map_err(|error| Error::Failed(error.to_string()))?;
        self.lines.push(b'\n');
        if self.lines.len() < PIECE_BYTES { Ok(None) } else { self.rest().map(Some) }
    }

    /// The lines that are in no piece yet.
    ///
    /// # Errors
    /// [`Error::Failed`] when they can't be compressed.
    pub fn rest(&mut self) -> Result<Bytes, Error> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = encoder.write_all(&self.lines).and_then(|()| encoder.finish());
        self.lines.clear();
        packed.map(Bytes::from).map_err(|error| Error::Failed(error.to_string()))
    }
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads the lines of a file.
pub struct Lines {
    name: String,
    lines: FramedRead<Pin<Box<dyn AsyncRead + Send>>, LinesCodec>,
}

impl Lines {
    pub(crate) fn of(name: &str, content: Content) -> Self {
        let packed = StreamReader::new(content.map_err(std::io::Error::other).boxed());
        let mut decoder = GzipDecoder::new(packed);
        decoder.multiple_members(true);
        let lines = FramedRead::new(
            Box::pin(decoder) as Pin<Box<_>>,
            LinesCodec::new_with_max_length(LINE_BYTES_MAX),
        );
        Self { name: name.to_owned(), lines }
    }

    /// The next line, `None` at the end.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a line that is not what it should be.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let damaged = |why: String| Error::Damaged { file: self.name.clone(), why };
        match self.lines.next().await {
            None => Ok(None),
            Some(Ok(line)) => {
                let read = serde_json::from_str(&line);
                read.map(Some).map_err(|error| damaged(format!("has a line that can't be read ({error})")))
            }
            Some(Err(LinesCodecError::MaxLineLengthExceeded)) => {
                Err(damaged("has a line that is too long".to_owned()))
            }
            Some(Err(LinesCodecError::Io(error))) => Err(damaged(format!("can't be read ({error})"))),
        }
    }
}

//! One sealed file, read and written.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sealing::{CHUNK_TAG_BYTES, Chunk, Salt};
use tantivy::HasLen;
use tantivy::directory::{AntiCallToken, FileHandle, OwnedBytes, TerminatingWrite};

use super::cache::Span;
use super::{SealedFolder, name};

const MAGIC: [u8; 4] = *b"BCS1";
const HEAD_BYTES: usize = MAGIC.len() + mem::size_of::<Salt>();
/// Bytes of a chunk in the open, of all but the last.
pub const CHUNK_BYTES: usize = 16 * 1024;
const SEALED_BYTES: usize = CHUNK_BYTES + CHUNK_TAG_BYTES;

/// A file that is read. It stays open, so that one which is deleted meanwhile can be read still.
pub struct OpenFile {
    folder: SealedFolder,
    name: String,
    file: File,
    salt: Salt,
    /// Bytes in the open.
    len: usize,
    chunks: u32,
}

impl OpenFile {
    pub fn open(folder: &SealedFolder, path: &Path) -> io::Result<Self> {
        let (file, name) = (File::open(folder.at(path))?, name(path));
        let mut head = [0; HEAD_BYTES];
        let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let sealed = bytes.checked_sub(HEAD_BYTES).filter(|sealed| *sealed >= CHUNK_TAG_BYTES);
        let Some(sealed) = sealed else { return Err(folder.forged(&name)) };
        file.read_exact_at(&mut head, 0)?;
        let chunks = sealed.div_ceil(SEALED_BYTES);
        let (Some(salt), Some(len), Ok(chunks)) = (
            head.strip_prefix(&MAGIC).and_then(|salt| Salt::try_from(salt).ok()),
            sealed.checked_sub(chunks * CHUNK_TAG_BYTES),
            u32::try_from(chunks),
        ) else {
            return Err(folder.forged(&name));
        };
        Ok(Self { folder: folder.clone(), name, file, salt, len, chunks })
    }

    pub fn whole(&self) -> io::Result<OwnedBytes> {
        self.opened(0, self.chunks - 1)
    }

    /// These chunks, in the open.
    fn opened(&self, first: u32, last: u32) -> io::Result<OwnedBytes> {
        let at = |number: u32| number as usize * SEALED_BYTES;
        let end = (at(last) + SEALED_BYTES).min(self.len + self.chunks as usize * CHUNK_TAG_BYTES);
        let mut sealed = vec![0; end - at(first)];
        self.file.read_exact_at(&mut sealed, (HEAD_BYTES + at(first)) as u64)?;
        let mut plain = Vec::with_capacity(sealed.len());
        for (number, sealed) in (first..=last).zip(sealed.chunks(SEALED_BYTES)) {
            let is_last = number + 1 == self.chunks;
            let chunk = Chunk { file: &self.name, salt: self.salt, number, is_last };
            let opened = self.folder.0.key.open(&chunk, sealed);
            plain.extend_from_slice(&opened.map_err(|_| self.folder.forged(&self.name))?);
        }
        Ok(OwnedBytes::new(plain))
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenFile({})", self.name)
    }
}

impl HasLen for OpenFile {
    fn len(&self) -> usize {
        self.len
    }
}

impl FileHandle for OpenFile {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        if range.is_empty() {
            return Ok(OwnedBytes::empty());
        }
        if range.end > self.len {
            return Err(self.folder.forged(&self.name));
        }
        let number = |at: usize| u32::try_from(at / CHUNK_BYTES).map_err(io::Error::other);
        let span = Span { file: self.salt, first: number(range.start)?, last: number(range.end - 1)? };
        let bytes = match self.folder.0.cache.get(&span) {
            Some(bytes) => bytes,
            None => {
                let bytes = self.opened(span.first, span.last)?;
                self.folder.0.cache.put(span, bytes.clone());
                bytes
            }
        };
        let begin = span.first as usize * CHUNK_BYTES;
        Ok(bytes.slice(range.start - begin..range.end - begin))
    }
}

/// A file that is written.
pub struct Writing {
    folder: SealedFolder,
    name: String,
    file: File,
    salt: Salt,
    number: u32,
    /// What is not written yet, less than a chunk, or a whole one: the last is known only at the end.
    waiting: Vec<u8>,
}

impl Writing {
    pub fn begin(folder: SealedFolder, name: String, mut file: File) -> io::Result<Self> {
        let salt = sealing::random_salt().map_err(io::Error::other)?;
        file.write_all(&[&MAGIC[..], &salt].concat())?;
        Ok(Self { folder, name, file, salt, number: 0, waiting: Vec::with_capacity(CHUNK_BYTES) })
    }

    fn push(&mut self, is_last: bool) -> io::Result<()> {
        let chunk = Chunk { file: &self.name, salt: self.salt, number: self.number, is_last };
        self.file.write_all(&self.folder.0.key.seal(&chunk, &self.waiting))?;
        self.waiting.clear();
        self.number = self.number.checked_add(1).ok_or_else(|| io::Error::other("the file is too long"))?;
        Ok(())
    }

    pub fn end(&mut self) -> io::Result<()> {
        self.push(true)
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.waiting.len() == CHUNK_BYTES {
            self.push(false)?;
        }
        let some = bytes.len().min(CHUNK_BYTES - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..some]);
        Ok(some)
    }

    /// What waits is written at the end, when it is known whether it is the last.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TerminatingWrite for Writing {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.end()
    }
}

//! Reading a backup.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use sha2::{Digest, Sha256};

use crate::{Archive, Error, FileEntry, Lines, Manifest};

/// What is read of a file, piece by piece.
pub type Content = BoxStream<'static, Result<Bytes, Error>>;

/// A finished backup.
pub struct Opened {
    archive: Archive,
    manifest: Manifest,
}

impl Opened {
    pub(crate) const fn new(archive: Archive, manifest: Manifest) -> Self {
        Self { archive, manifest }
    }

    /// The backup at a place, after all of it was read once.
    ///
    /// # Errors
    /// As [`Archive::at`], [`Archive::open`] and [`Opened::check`].
    pub async fn whole_at(place: &str) -> Result<Self, Error> {
        let backup = Archive::at(place)?.open().await?;
        backup.check().await?;
        Ok(backup)
    }

    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads all files and compares them with the list. What is restored is checked first, so that nothing is restored by half.
    ///
    /// # Errors
    /// [`Error::Damaged`] for the first file that is not what was written; [`Error::Failed`].
    pub async fn check(&self) -> Result<(), Error> {
        for file in &self.manifest.files {
            self.check_file(file).await?;
        }
        Ok(())
    }

    async fn check_file(&self, file: &FileEntry) -> Result<(), Error> {
        let damaged = |why: &str| Error::Damaged { file: file.name.clone(), why: why.to_owned() };
        let mut content = self.content(&file.name).await?;
        let (mut hash, mut bytes) = (Sha256::new(), 0);
        while let Some(piece) = content.try_next().await? {
            hash.update(&piece);
            bytes += piece.len() as u64;
        }
        if bytes != file.bytes {
            return Err(damaged(&format!("has {bytes} bytes instead of {}", file.bytes)));
        }
        if HEXLOWER.encode(&hash.finalize()) != file.sha256 {
            return Err(damaged("is not what was written"));
        }
        Ok(())
    }

    /// What is in a file.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the backup does not have it, here and below; [`Error::Failed`].
    pub async fn content(&self, name: &str) -> Result<Content, Error> {
        let missing = || Error::Damaged { file: name.to_owned(), why: "is missing".to_owned() };
        if self.manifest.file(name).is_none() {
            return Err(missing());
        }
        match self.archive.store.get(&self.archive.path(name)).await {
            Err(object_store::Error::NotFound { .. }) => Err(missing()),
            found => Ok(found?.into_stream().map_err(Error::from).boxed()),
        }
    }

    /// The lines of a file of JSON.
    pub async fn lines(&self, name: &str) -> Result<Lines, Error> {
        Ok(Lines::of(name, self.content(name).await?))
    }

    /// A small file, whole.
    pub async fn whole(&self, name: &str) -> Result<Vec<u8>, Error> {
        let mut content = self.content(name).await?;
        let mut whole = Vec::new();
        while let Some(piece) = content.try_next().await? {
            if whole.len() + piece.len() > Self::WHOLE_BYTES_MAX {
                return Err(Error::Damaged { file: name.to_owned(), why: "is too large".to_owned() });
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    const WHOLE_BYTES_MAX: usize = 1024 * 1024;
}

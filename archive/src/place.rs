//! Where a backup is.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::read::Opened;
use crate::write::Written;
use crate::{Error, Manifest, names};

/// A folder, or a part of a bucket.
#[derive(Clone)]
pub struct Archive {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Before the names of the files.
    prefix: Path,
    /// The folder, where it is one.
    folder: Option<PathBuf>,
    place: String,
}

impl Archive {
    /// The backup at a place: a folder, or `s3://BUCKET/PREFIX`, whose store is named by `AWS_ENDPOINT`, `AWS_REGION`,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and the like in the environment.
    ///
    /// # Errors
    /// [`Error::BadPlace`].
    pub fn at(place: &str) -> Result<Self, Error> {
        match place.split_once("://") {
            Some(("s3", rest)) => Self::in_bucket(place, rest),
            Some(_) => Err(Error::BadPlace(format!(
                "{place} is no place for a backup: name a folder or s3://BUCKET/PREFIX"
            ))),
            None if place.is_empty() => {
                Err(Error::BadPlace("the folder of the backup is missing".to_owned()))
            }
            None => Ok(Self {
                // Whoever asks for a file makes the store of the folder.
                store: Arc::new(LocalFileSystem::new()),
                prefix: Path::from_absolute_path(
                    std::path::absolute(place).map_err(|error| bad(place, &error))?,
                )
                .map_err(|error| bad(place, &error))?,
                folder: Some(PathBuf::from(place)),
                place: place.to_owned(),
            }),
        }
    }

    fn in_bucket(place: &str, rest: &str) -> Result<Self, Error> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(Error::BadPlace(format!("{place} names no bucket: it is s3://BUCKET/PREFIX")));
        }
        let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
        Ok(Self {
            store: Arc::new(store.map_err(|error| bad(place, &error))?),
            prefix: Path::parse(prefix.trim_end_matches('/')).map_err(|error| bad(place, &error))?,
            folder: None,
            place: place.to_owned(),
        })
    }

    /// Begins a backup.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] when something is there, [`Error::Failed`] when the place can't be written.
    pub async fn create(self, shards: u16) -> Result<Written, Error> {
        if let Some(folder) = &self.folder {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| bad(&self.place, &error))?;
        }
        let mut there = self.store.list(Some(&self.prefix));
        if let Some(found) = there.try_next().await? {
            let found = found.location.filename().unwrap_or_default().to_owned();
            return Err(Error::NotEmpty { place: self.place.clone(), found });
        }
        drop(there);
        Ok(Written::new(self, shards))
    }

    /// Opens a finished backup. Its files are not read yet.
    ///
    /// # Errors
    /// [`Error::NoBackup`], [`Error::Newer`], [`Error::Damaged`] for a list that can't be read.
    pub async fn open(self) -> Result<Opened, Error> {
        let found = match self.store.get(&self.path(names::MANIFEST)).await {
            Err(object_store::Error::NotFound { .. }) => return Err(Error::NoBackup { place: self.place }),
            found => found?,
        };
        let damaged = |why: &str| Error::Damaged { file: names::MANIFEST.to_owned(), why: why.to_owned() };
        if found.meta.size > Manifest::BYTES_MAX {
            return Err(damaged("is too large"));
        }
        let text = found.bytes().await?;
        let format: Format = serde_json::from_slice(&text).map_err(|_| damaged("can't be read"))?;
        if format.format > Manifest::FORMAT {
            return Err(Error::Newer { found: format.format, known: Manifest::FORMAT });
        }
        let manifest = serde_json::from_slice(&text).map_err(|_| damaged("can't be read"))?;
        Ok(Opened::new(self, manifest))
    }

    pub(crate) fn path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    /// Has a folder's files on the disk, so that a finished backup outlives a power failure. A bucket keeps what it has acknowledged.
    pub(crate) async fn sync(&self, names: &[&str]) -> Result<(), Error> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let mut files: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
        files.push(folder);
        let synced = tokio::task::spawn_blocking(move || {
            files.iter().try_for_each(|path| File::open(path)?.sync_all())
        });
        let synced = synced.await.map_err(|error| Error::Failed(error.to_string()))?;
        synced.map_err(|error| Error::Failed(error.to_string()))
    }
}

#[derive(serde::Deserialize)]
struct Format {
    format: u32,
}

fn bad(place: &str, why: &dyn std::fmt::Display) -> Error {
    Error::BadPlace(format!("{place} can't be used for a backup: {why}"))
}

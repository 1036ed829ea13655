use std::fmt;

/// What can go wrong with a backup. Each is a sentence for the person who asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The place can't be understood.
    BadPlace(String),
    /// Something is there already.
    NotEmpty { place: String, found: String },
    /// There is no backup, or one that was cut short.
    NoBackup { place: String },
    /// It was made by a newer backchat.
    Newer { found: u32, known: u32 },
    /// A file of it is missing, or is not what was written.
    Damaged { file: String, why: String },
    /// The store failed.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPlace(why) => f.write_str(why),
            Self::NotEmpty { place, found } => {
                write!(f, "{place} is not empty, it holds {found}: name a new folder for each backup")
            }
            Self::NoBackup { place } => {
                write!(f, "{place} holds no finished backup: it has no file {}", crate::names::MANIFEST)
            }
            Self::Newer { found, known } => write!(
                f,
                "this backup has format {found}, but this backchat knows formats up to {known}: use a newer backchat"
            ),
            Self::Damaged { file, why } => {
                write!(f, "the backup is damaged: {file} {why}; nothing was restored from it")
            }
            Self::Failed(why) => write!(f, "the backup's place failed: {why}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

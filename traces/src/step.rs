//! What happens to a message, each with its names in a trace (OpenTelemetry's conventions for messaging).

/// One step of a message's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A gateway has it in hand, from its frame to what its sender is answered.
    Take,
    /// A gateway gives it to the broker, until that says that it is stored.
    Publish,
    /// A gateway that heard it live hands it to the members that it has.
    Deliver,
    /// The history worker writes it, until its transaction is committed.
    Apply,
    /// The search worker puts it into the index, until that is committed.
    Index,
}

/// On which side of a conversation a step is; the numbers are OTLP's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Server = 2,
    Producer = 4,
    Consumer = 5,
}

/// How a step concerns the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    pub name: &'static str,
    pub kind: &'static str,
    /// The form of the subject. The subject itself has the room's address, which is nobody's business here.
    pub subjects: &'static str,
}

const LOG: &str = "chat.log.{shard}.{room}";
const LIVE: &str = "chat.live.{shard}.{room}";

impl Step {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Take => "take message",
            Self::Publish => "publish chat.log",
            Self::Deliver => "deliver chat.live",
            Self::Apply => "apply chat.log",
            Self::Index => "index chat.log",
        }
    }

    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Take => Kind::Server,
            Self::Publish => Kind::Producer,
            Self::Deliver | Self::Apply | Self::Index => Kind::Consumer,
        }
    }

    pub(crate) const fn operation(self) -> Option<Operation> {
        let (name, kind, subjects) = match self {
            Self::Take => return None,
            Self::Publish => ("publish", "send", LOG),
            Self::Deliver => ("deliver", "process", LIVE),
            Self::Apply => ("apply", "process", LOG),
            Self::Index => ("index", "process", LOG),
        };
        Some(Operation { name, kind, subjects })
    }
}

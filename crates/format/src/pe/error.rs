/// Why bytes are no image that firmware starts, or cannot become the one that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeError {
    /// Something else.
    #[error("this is not a PE image: {problem}")]
    NotPe {
        /// What is missing.
        problem: &'static str,
    },
    /// An image that this version does not read.
    #[error("the PE image is {found}; one of 64 bits (PE32+) for EFI is needed")]
    Kind {
        /// What it is.
        found: String,
    },
    /// The file ends in the middle.
    #[error("the PE image is cut off in {place}: the file has {file_bytes} bytes")]
    CutOff {
        /// The header or section.
        place: String,
        /// The file's length.
        file_bytes: usize,
    },
    /// A number that contradicts another.
    #[error("the PE image is damaged: {problem}")]
    Damaged {
        /// Which one.
        problem: String,
    },
    /// The headers end before all new ones have a place.
    #[error(
        "the PE image has room for {room} more section headers, and {wanted} are needed: take a newer stub"
    )]
    NoRoom {
        /// How many there are to be.
        wanted: usize,
        /// For how many there is a place.
        room: usize,
    },
    /// More than 4 GiB.
    #[error("the PE image would be larger than 4 GiB")]
    TooLarge,
    /// A name of more than 8 bytes, or none.
    #[error("{0:?} cannot be the name of a section: it has 1 to 8 bytes of ASCII")]
    Name(String),
    /// A section that is there already.
    #[error("the PE image has a section {0} already")]
    Again(String),
}

impl PeError {
    pub(super) fn damaged(problem: impl Into<String>) -> Self {
        Self::Damaged { problem: problem.into() }
    }
}

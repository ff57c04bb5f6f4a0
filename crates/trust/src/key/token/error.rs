use std::path::PathBuf;

use crate::key::KeyError;

/// Why a key in a token cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// No library there, or none for tokens.
    #[error("cannot load the PKCS#11 library {}: {source}", path.display())]
    Library {
        /// The library.
        path: PathBuf,
        /// What the loader says.
        source: cryptoki::error::Error,
    },
    /// A call to the library failed.
    #[error("the token does not let {what}: {source}")]
    Call {
        /// What was asked for.
        what: &'static str,
        /// The function of PKCS#11 and its answer.
        source: cryptoki::error::Error,
    },
    /// No such token.
    #[error("no token is like that; there {}", found(.there))]
    NoToken {
        /// The labels of those there are.
        there: Vec<String>,
    },
    /// Several such tokens.
    #[error("{count} tokens are like that; say more of the one that is meant (token, serial or slot-id)")]
    SeveralTokens {
        /// How many.
        count: usize,
    },
    /// The token wants a PIN.
    #[error(
        "the token {token:?} wants a PIN; put it into a file and name that in the URI (pin-source=/path), or into $SEALPACK_PIN"
    )]
    NoPin {
        /// The token's label.
        token: String,
    },
    /// The PIN was wrong, or is locked.
    #[error("the token {token:?} does not take the PIN: {source}")]
    Pin {
        /// The token's label.
        token: String,
        /// Its answer.
        source: cryptoki::error::Error,
    },
    /// No such key in the token.
    #[error("the token {token:?} has no such private key")]
    NoKey {
        /// The token's label.
        token: String,
    },
    /// Several such keys.
    #[error("{count} private keys of the token {token:?} are like that; say the id of the one that is meant")]
    SeveralKeys {
        /// The token's label.
        token: String,
        /// How many.
        count: usize,
    },
    /// The token does not say what the public key is.
    #[error("the token {token:?} has no public key beside that private key; put it there, with the same id")]
    NoPublicKey {
        /// The token's label.
        token: String,
    },
    /// The key is of a kind that is not supported.
    #[error(transparent)]
    Key(#[from] KeyError),
}

fn found(labels: &[String]) -> String {
    match labels {
        [] => "are none".to_owned(),
        labels => {
            format!("is {}", labels.iter().map(|label| format!("{label:?}")).collect::<Vec<_>>().join(", "))
        }
    }
}

//! OCI image layouts: directories with `oci-layout`, `index.json` and `blobs/` (image-spec, image-layout.md).

mod source;
mod target;

pub use source::{ImageChoice, OciLayout};
pub use target::LayoutTarget;

pub(crate) use source::{CONTAINERD_NAME, ExactReader, LayoutIndex, REF_NAME, choices, open_regular};
pub(crate) use target::MARKER;

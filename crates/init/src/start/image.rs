//! The image that becomes the root, mounted so that the kernel enforces what it was signed for.

use std::path::Path;
use std::time::Duration;

use sealpack_format::boot::BootParameters;
use sealpack_format::digest::{ObjectId, RootHash};
use sealpack_kernel::Kernel;
use sealpack_mount::{Achieved, Backing, Level, LiveDevice, Objects, Plan, Request, apply, live_devices};
use sealpack_node::mounting::{self, Options};
use sealpack_node::place::StorePlace;

use super::failure::Failure;
use super::mounts;

/// How long another user of the store is waited for; there should be none yet.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Why an image does not become the root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum ImageError {
    #[error("the store {store} has no image whose metadata image is {image}")]
    Missing { store: String, image: ObjectId },
    #[error("the image {name} is kept as files, not in packs")]
    Files { name: String },
    #[error("the image {name} has no seal")]
    Unsealed { name: String },
    #[error("the image {name} has the root hash {actual}, and {expected} is to be started")]
    OtherRoot { name: String, expected: RootHash, actual: RootHash },
    #[error("the root is not on the device that was asked for: {0}")]
    NotLive(String),
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self::new(error.to_string()).advised(match error {
            ImageError::Missing { .. } => {
                "bring the image to the store (sealpack pull), or start an older UKI"
            }
            ImageError::Files { .. } => "keep it in packs (sealpack convert)",
            ImageError::Unsealed { .. } => "seal the image, or pull it with its seal",
            ImageError::OtherRoot { .. } => {
                "build the UKI for the image that is in the store, or bring the other one"
            }
            ImageError::NotLive(_) => "start again; if it stays so, report it",
        })
    }
}

/// Mounts the image of these parameters, from the store at `store`, on `target`.
///
/// # Errors
/// The store cannot be used, or does not have the image in packs with a seal; its metadata image has another root hash
/// than the command line says; the kernel would not enforce.
pub(super) fn mount(
    kernel: &Kernel,
    parameters: &BootParameters,
    store: &Path,
    target: &Path,
) -> Result<Achieved, Failure> {
    mounts::make_mount_point(target)?;
    let request = request(parameters, store, target)?;
    let achieved = apply(kernel, &Plan::new(request)?)?;
    require_live(kernel, &achieved, &parameters.root_hash)?;
    Ok(achieved)
}

/// What is to be mounted: of all names that the image has, the first whose seal will do.
fn request(parameters: &BootParameters, store: &Path, target: &Path) -> Result<Request, Failure> {
    let (_lock, opened) = StorePlace::new(store.to_path_buf(), LOCK_WAIT).open_for_reading()?;
    let mut records = opened.images()?.records;
    records.retain(|record| record.metadata_image == parameters.image);
    let mut first_failure = None;
    for record in records {
        let options = Options {
            // Whoever brought the image here has done that, and it takes as long as all else together.
            look_for_objects: false,
            ..Options::read_only(target.to_path_buf(), Level::Enforced)
        };
        let request = mounting::request(&opened, &record, options).map_err(Failure::from);
        match request.and_then(|request| checked(request, &record.name, &parameters.root_hash)) {
            Ok(request) => return Ok(request),
            Err(failure) => drop(first_failure.get_or_insert(failure)),
        }
    }
    let missing = || ImageError::Missing { store: store.display().to_string(), image: parameters.image };
    Err(first_failure.unwrap_or_else(|| missing().into()))
}

/// A request that will be for signed devices, the first with this root hash.
fn checked(request: Request, name: &str, expected: &RootHash) -> Result<Request, Failure> {
    let name = name.to_owned();
    let Objects::Packs { metadata, .. } = &request.objects else {
        return Err(ImageError::Files { name }.into());
    };
    if metadata.root_hash != *expected {
        return Err(ImageError::OtherRoot { name, expected: *expected, actual: metadata.root_hash }.into());
    }
    if metadata.signatures.is_empty() {
        return Err(ImageError::Unsealed { name }.into());
    }
    Ok(request)
}

/// That the metadata image is on a device that the kernel checks against this root hash, with a signature that it
/// accepted. What was asked for is one thing, and what there is another.
fn require_live(kernel: &Kernel, achieved: &Achieved, root_hash: &RootHash) -> Result<(), Failure> {
    let Backing::Device(name) = &achieved.backing else {
        return Err(
            ImageError::NotLive("the metadata image is on no device of dm-verity's".to_owned()).into()
        );
    };
    let live = live_devices(kernel, &[*root_hash])?;
    let device = live.iter().find(|device| device.name == *name);
    judge(device, root_hash).map_err(|why| ImageError::NotLive(format!("{name} {why}")).into())
}

fn judge(device: Option<&LiveDevice>, root_hash: &RootHash) -> Result<(), String> {
    match device {
        None => Err("is not there".to_owned()),
        Some(LiveDevice { problem: Some(problem), .. }) => {
            Err(format!("is not as mounts make it: {problem}"))
        }
        Some(device) if device.root_hash != *root_hash => {
            Err(format!("is checked against {}", device.root_hash))
        }
        Some(LiveDevice { signed: false, .. }) => Err("has no signature that the kernel accepted".to_owned()),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use sealpack_mount::{MetadataHashArea, Signature};

    use super::*;

    fn root(byte: &str) -> RootHash {
        byte.repeat(32).parse().unwrap()
    }

    fn image() -> ObjectId {
        "ab".repeat(32).parse().unwrap()
    }

    fn request_for(objects: Objects) -> Request {
        Request {
            image: "/x".into(),
            image_id: image(),
            objects,
            writable: None,
            target: "/sysroot".into(),
            read_only: true,
            noexec: false,
            nosuid: false,
            required: Level::Enforced,
            at_most: Level::Enforced,
        }
    }

    fn packs(signatures: usize) -> Objects {
        let signature = Signature { der: vec![1], signer: "x".to_owned() };
        let metadata = MetadataHashArea {
            path: "/x.verity".into(),
            data_blocks: 1,
            root_hash: root("cd"),
            signatures: vec![signature; signatures],
        };
        Objects::Packs { metadata, packs: Vec::new(), are_complete: true }
    }

    #[test]
    fn only_an_image_in_packs_with_a_seal_and_the_right_root_hash_is_asked_for() {
        let checked = |objects, expected| {
            checked(request_for(objects), "os", &root(expected)).map(drop).map_err(|failure| failure.why)
        };
        assert_eq!(checked(packs(1), "cd"), Ok(()));
        let (actual, expected) = (root("cd"), root("ce"));
        let why = format!("the image os has the root hash {actual}, and {expected} is to be started");
        assert_eq!(checked(packs(1), "ce"), Err(why));
        assert_eq!(checked(packs(0), "cd"), Err("the image os has no seal".to_owned()));
        let files = Objects::Files { directories: Vec::new(), have_verity: true };
        assert_eq!(checked(files, "cd"), Err("the image os is kept as files, not in packs".to_owned()));
    }

    #[test]
    fn a_store_without_the_image_or_no_store_is_told() {
        let place = tempfile::tempdir().unwrap();
        let parameters = BootParameters::new(image(), root("cd"));
        let why = |store: &Path| request(&parameters, store, Path::new("/sysroot")).unwrap_err().why;
        assert!(why(&place.path().join("store")).contains("there is no store at"));
        let store = StorePlace::new(place.path().join("store"), LOCK_WAIT).open_or_create(None);
        drop(store.unwrap());
        let wanted = format!("has no image whose metadata image is {}", image());
        assert!(why(&place.path().join("store")).ends_with(&wanted));
    }

    #[test]
    fn a_store_of_a_newer_version_is_told() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        drop(StorePlace::new(path.clone(), LOCK_WAIT).open_or_create(None).unwrap());
        let meta = std::fs::read_to_string(path.join("meta.json")).unwrap();
        let version = meta.find("\"version\"").expect("it has a version");
        let newer = format!("{}{}", &meta[..version], meta[version..].replacen(char::is_numeric, "9", 1));
        std::fs::write(path.join("meta.json"), newer).unwrap();
        let parameters = BootParameters::new(image(), root("cd"));
        let failure = request(&parameters, &path, Path::new("/sysroot")).unwrap_err();
        assert!(failure.why.contains("has format version 9"), "{}", failure.why);
    }

    #[test]
    fn the_live_device_is_what_counts() {
        let name = format!("sealpack-s-{}", root("cd")).parse().unwrap();
        let live = LiveDevice { name, root_hash: root("cd"), signed: true, intact: true, problem: None };
        let judged = |device: LiveDevice| judge(Some(&device), &root("cd"));
        assert_eq!(judged(live.clone()), Ok(()));
        assert!(judged(LiveDevice { root_hash: root("ce"), ..live.clone() }).is_err());
        assert!(judged(LiveDevice { signed: false, ..live.clone() }).is_err());
        assert!(judged(LiveDevice { problem: Some("x".to_owned()), ..live }).is_err());
        assert!(judge(None, &root("cd")).is_err());
    }
}

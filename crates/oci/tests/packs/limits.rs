//! Images that want too much: of room, of members, of memory, of time.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sealpack_format::reference::Reference;
use sealpack_oci::budget::{Limit, Limits};
use sealpack_oci::error::Result as OciResult;
use sealpack_oci::image::ResolvedImage;
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::transport::ImageSource;

use super::*;

fn limited(
    store: &Store,
    source: &dyn ImageSource,
    image: &ResolvedImage,
    limits: Limits,
) -> Result<Pulled, PullError> {
    let name = "localhost/image:1".parse().unwrap();
    pull(store, source, image, &Request { limits, ..Request::unjudged(&name, None) }, &())
}

#[track_caller]
fn refuses(tars: &[Vec<u8>], limits: Limits, limit: Limit) -> PullError {
    for compression in [Compression::Plain, Compression::Zstd] {
        let (store, source) = (fixture(Algorithm::Sha256), Memory::new(tars, compression));
        let error = limited(&store, &source, &source.image, limits).unwrap_err();
        assert_eq!(error.over_limit().map(|over| over.limit), Some(limit), "{error}");
        assert!(files(&store, "layers/sha256").is_empty(), "{error}");
        if compression == Compression::Zstd {
            return error;
        }
    }
    unreachable!()
}

#[track_caller]
fn takes(tars: &[Vec<u8>], limits: Limits) {
    let (store, source) = (fixture(Algorithm::Sha256), Memory::new(tars, Compression::Zstd));
    limited(&store, &source, &source.image, limits).unwrap();
}

fn layer_of_zeros(name: &str) -> Vec<u8> {
    archive(&[(name, Member::File(vec![0; 1024 * 1024]))])
}

/// Four layers of zstd, 132 kB, became 4 GB; each was within what a layer may have.
#[test]
fn layers_share_what_an_image_may_unpack_to() {
    let tars: Vec<_> = ["a", "b", "c", "d", "e"].map(layer_of_zeros).to_vec();
    let limits = |mib: u64| Limits { unpacked_bytes: mib * 1024 * 1024, ..Limits::USUAL };
    let error = refuses(&tars, limits(4), Limit::Unpacked);
    assert!(error.to_string().contains("unpack to more than the limit of 4194304 bytes"), "{error}");
    takes(&tars, limits(6));
}

#[test]
fn holes_of_sparse_files_count_as_what_is_unpacked() {
    let sparse = archive(&[("a", Member::Sparse(vec![(0, vec![1; 512])], 8 * 1024 * 1024))]);
    let limits = |mib: u64| Limits { unpacked_bytes: mib * 1024 * 1024, ..Limits::USUAL };
    refuses(std::slice::from_ref(&sparse), limits(7), Limit::Unpacked);
    takes(&[sparse], limits(9));
}

#[test]
fn layers_share_how_many_members_an_image_may_have() {
    let limits = |members| Limits { members, ..Limits::USUAL };
    refuses(&two_layers(), limits(4), Limit::Members);
    takes(&two_layers(), limits(5));
    // Members that are no entries count too: they are read all the same.
    let nothing: Vec<_> =
        ["a", "b", "c"].map(|name| (format!(".wh..wh.plnk/{name}"), Member::File(Vec::new()))).into();
    let nothing: Vec<_> = nothing.iter().map(|(name, member)| (name.as_str(), member.clone())).collect();
    refuses(&[archive(&nothing)], limits(2), Limit::Members);
}

/// A layer that the store has is read back for the merge, and is as large as before.
#[test]
fn members_of_layers_that_are_there_count_when_they_are_merged() {
    let (store, tars) = (fixture(Algorithm::Sha256), two_layers());
    pull_as(&store, &Memory::new(&tars, Compression::Plain), ObjectForm::Files);
    let source = Memory::new(&tars, Compression::Plain);
    let error = limited(&store, &source, &source.image, Limits { members: 4, ..Limits::USUAL }).unwrap_err();
    assert_eq!(error.over_limit().map(|over| over.limit), Some(Limit::Members), "{error}");
    assert!(error.to_string().starts_with("layer 2: "), "{error}");
}

#[test]
fn layers_share_how_large_an_images_records_may_be() {
    let tars: Vec<_> = (0..4)
        .map(|layer| {
            let names: Vec<_> =
                (0..100).map(|number| format!("{layer}-{number}-{}", "x".repeat(80))).collect();
            archive(&names.iter().map(|name| (name.as_str(), Member::Directory)).collect::<Vec<_>>())
        })
        .collect();
    let limits = |record_bytes| Limits { record_bytes, ..Limits::USUAL };
    refuses(&tars, limits(30_000), Limit::Records);
    takes(&tars, limits(60_000));
}

/// 190 kB became records of 225 MB: a header for all members gave each of them the same attributes.
#[test]
fn a_record_is_never_larger_than_its_layer() {
    let value = "v".repeat(60_000);
    let mut record = format!(" SCHILY.xattr.user.x={value}\n");
    record = format!("{}{record}", record.len() + 5);
    let mut tar = archive(&[("pax", Member::File(record.into_bytes()))]);
    // The header that was made for a file becomes one for all that follows.
    tar[156] = b'g';
    tar[148..156].fill(b' ');
    let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
    tar[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar.truncate(tar.len() - 1024);
    let names: Vec<_> = (0..60).map(|number| format!("file-{number}")).collect();
    tar.extend(archive(&names.iter().map(|name| (name.as_str(), Member::Directory)).collect::<Vec<_>>()));
    let (store, source) = (fixture(Algorithm::Sha256), Memory::new(&[tar], Compression::Zstd));
    let error = limited(&store, &source, &source.image, Limits::USUAL).unwrap_err();
    assert!(error.to_string().contains("its record has more"), "{error}");
}

/// Everything under one name, deep: each path makes directories that no member is there for.
#[test]
fn directories_that_paths_imply_take_memory() {
    let paths: Vec<_> = (0..40).map(|number| format!("{number}/{}x", "d/".repeat(45))).collect();
    let tar = archive(&paths.iter().map(|path| (path.as_str(), Member::Directory)).collect::<Vec<_>>());
    let limits = |kib: u64| Limits { memory_bytes: kib * 1024, ..Limits::USUAL };
    refuses(std::slice::from_ref(&tar), limits(400), Limit::Memory);
    takes(&[tar], limits(2000));
}

/// What a server says of a layer, and what it sends then, as long as anybody listens.
struct Garbage {
    image: ResolvedImage,
    sent: Arc<AtomicU64>,
}

impl Garbage {
    fn of(start: &[u8], declared_bytes: u64) -> Self {
        let mut image = Memory::new(&[start.to_vec()], Compression::Plain).image;
        image.layers[0].descriptor.size_bytes = declared_bytes;
        Self { image, sent: Arc::default() }
    }
}

struct Endless(Arc<AtomicU64>);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        buffer.fill(b'x');
        self.0.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        Ok(buffer.len())
    }
}

impl ImageSource for Garbage {
    fn description(&self) -> String {
        "garbage".to_owned()
    }

    fn root(&self) -> OciResult<(Descriptor, Vec<u8>)> {
        Ok((self.image.manifest.clone(), self.image.manifest_bytes.clone()))
    }

    fn fetch(&self, _: &Descriptor) -> OciResult<Vec<u8>> {
        Ok(self.image.config_bytes.clone())
    }

    fn open(&self, descriptor: &Descriptor, offset: u64) -> OciResult<Box<dyn Read + Send>> {
        Ok(Box::new(Endless(Arc::clone(&self.sent)).take(descriptor.size_bytes - offset)))
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn default_name(&self) -> Option<Reference> {
        None
    }
}

/// A layer that was declared as a terabyte and was garbage from its first byte was read, and kept, as long as it was
/// sent.
#[test]
fn the_first_fault_of_a_content_ends_the_transfer_and_nothing_of_it_is_kept() {
    let store = fixture(Algorithm::Sha256);
    let source = Garbage::of(b"", 100 * 1024 * 1024);
    let error = limited(&store, &source, &source.image, Limits::USUAL).unwrap_err();
    assert!(error.to_string().contains("the rest of the blob was not read"), "{error}");
    let sent = source.sent.load(Ordering::Relaxed);
    assert!(sent <= 4 * 1024 * 1024, "{sent} bytes were read");
    assert!(files(&store, "tmp/partial").is_empty());
}

#[test]
fn a_layer_that_is_declared_larger_than_an_image_may_be_is_not_asked_for() {
    let store = fixture(Algorithm::Sha256);
    let source = Garbage::of(b"", 1 << 40);
    let error = limited(&store, &source, &source.image, Limits::USUAL).unwrap_err();
    assert_eq!(error.over_limit().map(|over| over.limit), Some(Limit::Unpacked), "{error}");
    assert!(error.to_string().contains("has 1099511627776 bytes"), "{error}");
    assert_eq!(source.sent.load(Ordering::Relaxed), 0);
}

#[test]
fn a_layer_that_is_declared_larger_than_the_disk_has_room_is_not_asked_for() {
    let store = fixture(Algorithm::Sha256);
    let source = Garbage::of(b"", 1 << 50);
    let error = limited(&store, &source, &source.image, Limits::NONE).unwrap_err();
    assert!(matches!(error, PullError::Store(sealpack_store::Error::NoRoom { .. })), "{error}");
    assert_eq!(source.sent.load(Ordering::Relaxed), 0);
}

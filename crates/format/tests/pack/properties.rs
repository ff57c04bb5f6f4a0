//! What holds for any layer.

use std::io::{self, Cursor, Seek, SeekFrom, Write};

use proptest::prelude::*;
use sealpack_format::Algorithm;
use sealpack_format::pack::{PackOptions, PackOutput, PackWriteError, PackWriter};
use sealpack_format::verity::{fsverity_digest, hash_blocks_portably};

use crate::samples::{Content, corner_cases, noise, open, pack, pack_in_steps, scratch, verify};

/// A content with tails, holes and blocks of zeros, small enough to have many.
fn content() -> impl Strategy<Value = Content> {
    let flat = (any::<u32>(), prop_oneof![65..5000_usize, 65..200_000_usize])
        .prop_map(|(seed, length)| Content::new(noise(seed, length)));
    let island = (0..400_000_u64, any::<u32>(), 1..9000_usize);
    let sparse = (65..400_000_u64, prop::collection::vec(island, 0..4)).prop_map(|(size, islands)| {
        let islands: Vec<_> =
            islands.into_iter().map(|(offset, seed, length)| (offset, noise(seed, length))).collect();
        let islands: Vec<_> = islands.iter().map(|(offset, bytes)| (*offset, bytes.as_slice())).collect();
        Content::sparse(size, &islands)
    });
    prop_oneof![3 => flat, 2 => sparse]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn packs_depend_on_the_contents_alone_and_have_them(
        mut contents in prop::collection::vec(content(), 0..24),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        step in prop_oneof![1..10_000_usize, Just(4096), Just(1 << 20)],
        memory_bytes in prop_oneof![Just(0_usize), 1..50_000_usize],
    ) {
        if !contents.is_empty() {
            let repeated: Vec<_> = again.iter().map(|index| index.get(&contents).clone()).collect();
            contents.extend(repeated);
        }
        let written = pack(&contents);
        let options = PackOptions { memory_bytes, hash: hash_blocks_portably };
        let otherwise = pack_in_steps(&contents, step, options);
        prop_assert!(written.bytes == otherwise.bytes, "cut into {step}, {memory_bytes} bytes in memory");
        prop_assert_eq!(written.pack, otherwise.pack);
        prop_assert_eq!(&written.added, &otherwise.added);

        let reader = open(&written.bytes);
        let mut expected = Vec::new();
        for (content, added) in contents.iter().zip(&written.added) {
            let bytes = content.bytes();
            prop_assert_eq!(added.id, fsverity_digest(Algorithm::Sha256, &bytes));
            prop_assert_eq!(added.size_bytes, content.size_bytes);
            let seen = expected.iter().any(|(id, _)| *id == added.id);
            prop_assert_eq!(added.is_new, !seen);
            if !seen {
                expected.push((added.id, bytes));
            }
        }
        prop_assert_eq!(reader.objects().len(), expected.len());
        prop_assert_eq!(written.pack.objects, u64::try_from(expected.len()).unwrap());
        for (object, (id, bytes)) in reader.objects().iter().zip(&expected) {
            prop_assert_eq!(object.id, *id);
            let mut read = Vec::new();
            reader.read(object, hash_blocks_portably, &mut read).unwrap();
            prop_assert!(read == *bytes);
        }
        reader.verify(&written.pack.root_hash, scratch, options).unwrap();
    }
}

#[test]
fn an_object_that_is_given_up_leaves_no_trace() {
    let contents = corner_cases();
    let expected = pack(&contents);
    for memory_bytes in [0, 100_000, 1 << 25] {
        let mut out = Cursor::new(Vec::new());
        let mut writer =
            PackWriter::new(&mut out, scratch, PackOptions { memory_bytes, ..PackOptions::default() });
        for content in &contents {
            writer.object().write(&noise(99, 300_000)).unwrap();
            let mut object = writer.object();
            content.pieces(50_000, |piece| object.write(piece).unwrap());
            let added = object.finish().unwrap();
            assert!(writer.contains(&added.id));
        }
        writer.object().write(&noise(98, 3_000_000)).unwrap();
        let pack = writer.finish().unwrap();
        assert_eq!(pack, expected.pack);
        assert!(out.into_inner() == expected.bytes);
    }
}

#[test]
fn a_content_that_metadata_images_keep_is_refused() {
    for length in [0, 1, 64] {
        let mut writer = PackWriter::new(Cursor::new(Vec::new()), scratch, PackOptions::default());
        let mut object = writer.object();
        object.write(&noise(1, length)).unwrap();
        let error = object.finish().unwrap_err();
        assert!(matches!(error, PackWriteError::TooSmall(_)), "{error}");
        assert!(error.to_string().contains(&format!("a content of {length} bytes")), "{error}");
    }
}

#[test]
fn what_was_in_the_output_before_leaves_no_trace() {
    let expected = pack(&corner_cases());
    let mut out = Cursor::new(noise(5, expected.bytes.len() + 10_000));
    let mut writer = PackWriter::new(&mut out, scratch, PackOptions::default());
    for content in corner_cases() {
        let mut object = writer.object();
        content.pieces(1 << 20, |piece| object.write(piece).unwrap());
        object.finish().unwrap();
    }
    writer.finish().unwrap();
    assert!(out.into_inner() == expected.bytes);
}

/// An output on which nothing can be written.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Full {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Ok(0)
    }
}

impl PackOutput for Full {
    fn set_size(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// An output with room for one block.
#[derive(Default)]
struct Small(Cursor<Vec<u8>>);

impl Write for Small {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.position() > 4096 { Err(io::ErrorKind::StorageFull.into()) } else { self.0.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Small {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.seek(position)
    }
}

impl PackOutput for Small {
    fn set_size(&mut self, size_bytes: u64) -> io::Result<()> {
        self.0.set_size(size_bytes)
    }
}

/// What is written after an error would lack what the error was about.
#[test]
fn nothing_is_finished_after_an_error() {
    let options = PackOptions { memory_bytes: 0, ..PackOptions::default() };
    let mut writer = PackWriter::new(Small::default(), scratch, options);
    let mut object = writer.object();
    assert!(matches!(object.write(&noise(1, 10_000)), Err(PackWriteError::Output(_))));
    assert!(matches!(object.write(&noise(2, 100)), Err(PackWriteError::Failed)));
    assert!(matches!(object.finish(), Err(PackWriteError::Failed)));
    assert!(matches!(writer.object().finish(), Err(PackWriteError::Failed)));
    assert!(matches!(writer.finish(), Err(PackWriteError::Failed)));
}

#[test]
fn an_error_says_whether_the_output_or_a_temporary_file_failed() {
    let options = PackOptions { memory_bytes: 0, ..PackOptions::default() };
    let mut writer = PackWriter::new(Full, scratch, options);
    let error = writer.object().write(&noise(1, 10_000)).unwrap_err();
    assert!(matches!(error, PackWriteError::Output(_)), "{error}");

    let no_scratch = || Err::<Cursor<Vec<u8>>, _>(io::ErrorKind::PermissionDenied.into());
    let mut writer = PackWriter::new(Cursor::new(Vec::new()), no_scratch, options);
    let error = writer.object().write(&noise(1, 10_000)).unwrap_err();
    assert!(matches!(error, PackWriteError::Scratch(_)), "{error}");

    // The first failure comes with the end, when everything fits into memory.
    let mut writer = PackWriter::new(Full, no_scratch, PackOptions::default());
    writer.object().write(&noise(1, 10_000)).unwrap();
    assert!(matches!(writer.finish(), Err(PackWriteError::Output(_))));
}

/// Sizes as in a small Debian image (the essential packages and what they depend on): each stands
/// for one file in 64, in ascending order; the largest are averages.
const SIZES: [usize; 64] = [
    116, 166, 232, 336, 442, 498, 542, 565, 591, 642, 683, 711, 751, 791, 842, 909, 981, 1059, 1131, 1200,
    1258, 1341, 1423, 1516, 1604, 1682, 1764, 1860, 1965, 2068, 2176, 2295, 2419, 2542, 2684, 2892, 3075,
    3290, 3636, 3904, 4444, 5084, 6111, 7117, 8205, 9556, 11_358, 14_259, 14_712, 17_570, 18_680, 18_680,
    19_101, 22_800, 26_463, 30_798, 35_200, 43_512, 52_843, 63_699, 79_311, 115_080, 169_379, 671_312,
];

#[test]
fn a_usual_layer_grows_by_at_most_two_percent() {
    let mut out = Cursor::new(Vec::new());
    let mut writer = PackWriter::new(&mut out, scratch, PackOptions::default());
    for seed in 1..3000_u32 {
        // Each size varies by an eighth, so that tails have all lengths.
        let choice = noise(seed, 8);
        let size = SIZES[usize::from(choice[0]) % 64];
        let size = size + size * usize::from(choice[1]) / 2048;
        let mut object = writer.object();
        let mut content = vec![1; size];
        content[..4].copy_from_slice(&seed.to_le_bytes());
        object.write(&content).unwrap();
        object.finish().unwrap();
    }
    let pack = writer.finish().unwrap();
    assert!(pack.object_bytes > 50_000_000, "{pack:?}");
    let per_mille = (pack.size_bytes - pack.object_bytes) * 1000 / pack.object_bytes;
    println!("{} objects, {} bytes: {per_mille} per mille more", pack.objects, pack.object_bytes);
    assert!(pack.size_bytes * 100 <= pack.object_bytes * 102, "{per_mille} per mille more");
    verify(out, &pack);
}

//! Metadata images, by their fs-verity digests.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sealpack_format::digest::{DiffId, ObjectId, RootHash};
use sealpack_format::erofs;
use sealpack_format::tree::Tree;
use sealpack_kernel::fsverity::{FileHasher, Measurement};

use crate::error::{Error, Result};
use crate::facts::{About, Fact};
use crate::integrity::{Integrity, ObjectState};
use crate::objects::is_unreadable;
use crate::places::{fans, metadata_image_file_name, pack_path};
use crate::refs::ImageRecord;
use crate::store::Store;

/// Reads a metadata image, which may hold any bytes, and answers with the objects that its files refer to, in any
/// order, repeated or not; or says what is wrong with it.
pub type ObjectsOfImage<'a> = &'a (dyn Fn(&File) -> std::result::Result<Vec<ObjectId>, String> + Sync);

/// The objects that the composefs metadata image in `file` refers to, as gc and fsck want to know them.
///
/// What counts is the path that overlayfs will look for. A file with several names comes once.
///
/// # Errors
/// In words, what is wrong with the image.
pub fn objects_of_image(mut file: &File) -> std::result::Result<Vec<ObjectId>, String> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let image = erofs::Image::open(&bytes).map_err(|e| e.to_string())?;
    let object = |external: erofs::reader::External<'_>| {
        ObjectId::from_object_path(external.path)
            .ok_or_else(|| format!("it refers to \"{}\", which is no object", external.path.escape_ascii()))
    };
    image.objects().map(|external| object(external.map_err(|e| e.to_string())?)).collect()
}

impl Store {
    /// Where metadata image `id` is, or would be.
    #[must_use]
    pub fn metadata_image_path(&self, id: &ObjectId) -> PathBuf {
        self.images.at(metadata_image_file_name(id))
    }

    /// Opens metadata image `id` for reading, without looking at its content.
    ///
    /// # Errors
    /// [`Error::ImageMissing`]; [`Error::Algorithm`]; failures of the system.
    pub fn open_metadata_image(&self, id: &ObjectId) -> Result<File> {
        self.check_id(id)?;
        self.images.read(metadata_image_file_name(id))?.ok_or(Error::ImageMissing(*id))
    }

    /// Opens metadata image `id` and measures what was opened: the file in the answer had the content of that
    /// digest just now, and keeps it with [`Integrity::FsVerity`]. It is to be read from its start.
    ///
    /// What was remembered does not count here: without fs-verity the file is hashed.
    ///
    /// # Errors
    /// As [`open_metadata_image`](Self::open_metadata_image); [`Error::ImageDamaged`].
    pub fn verify_metadata_image(&self, id: &ObjectId) -> Result<(File, Integrity)> {
        let (file, path) = (self.open_metadata_image(id)?, self.metadata_image_path(id));
        let damaged = |found| Error::ImageDamaged { path: path.clone(), found };
        if let Measurement::Digest(found) = self.measure(&file, &path)? {
            return if found == *id { Ok((file, Integrity::FsVerity)) } else { Err(damaged(Some(found))) };
        }
        match FileHasher::new(self.algorithm()).hash(&file) {
            Ok((found, _)) if found == *id => {}
            Ok((found, _)) => return Err(damaged(Some(found))),
            Err(e) if is_unreadable(&e) => return Err(damaged(None)),
            Err(e) => return Err(Error::io("read", path, e)),
        }
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).map_err(|e| Error::io("read", path, e))?;
        Ok((file, Integrity::None))
    }

    /// The objects that metadata image `id` refers to, after its content was verified.
    pub(crate) fn objects_of(&self, id: &ObjectId, objects_of: ObjectsOfImage<'_>) -> Result<Vec<ObjectId>> {
        let (file, _) = self.verify_metadata_image(id)?;
        objects_of(&file).map_err(|what| Error::ImageUnreadable { path: self.metadata_image_path(id), what })
    }

    /// The files of an image, its metadata image checked against its digest.
    ///
    /// # Errors
    /// As [`verify_metadata_image`](Self::verify_metadata_image); [`Error::ImageUnreadable`].
    pub fn tree(&self, image: &ImageRecord) -> Result<Tree> {
        let id = &image.metadata_image;
        let ((mut file, _), path) = (self.verify_metadata_image(id)?, self.metadata_image_path(id));
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| Error::io("read", &path, e))?;
        let tree = erofs::Image::open(&bytes).and_then(|image| image.to_tree());
        tree.map_err(|error| Error::ImageUnreadable { path, what: error.to_string() })
    }

    /// Whether the kernel checks all objects of an image when they are read.
    ///
    /// All must be there: overlayfs shows a file whose object is missing, and fails only when it is opened. That they are
    /// is remembered until a directory of objects changes. Objects are asked for fs-verity until one has none.
    ///
    /// # Errors
    /// [`Error::ImageIncomplete`] when one is not; as [`tree`](Self::tree).
    pub fn all_have_verity(&self, image: &ImageRecord) -> Result<bool> {
        let about = self.about_objects(&image.metadata_image)?;
        let [are_there, have_verity] =
            ["objects are there", "objects have fs-verity"].map(|word| about.fact(word));
        if self.remembers(&have_verity) {
            return Ok(true);
        }
        if self.remembers(&are_there) {
            return Ok(false);
        }
        let mut all = self.integrity() == Integrity::FsVerity;
        for id in self.objects_of(&image.metadata_image, &objects_of_image)? {
            let integrity = match all {
                true => self.object_integrity(&id)?,
                false => self.objects.stat(id.object_path())?.map(|_| Integrity::None),
            };
            match integrity {
                Some(integrity) => all &= integrity == Integrity::FsVerity,
                None => return Err(Error::ImageIncomplete { name: image.name.clone(), id }),
            }
        }
        self.remember(if all { &have_verity } else { &are_there });
        Ok(all)
    }

    /// What a fact about the objects of metadata image `id` rests on: it, and the directories that they are in.
    fn about_objects(&self, id: &ObjectId) -> Result<About> {
        let image = self.images.stat(metadata_image_file_name(id))?.ok_or(Error::ImageMissing(*id))?;
        self.and_objects(About::new().and(id.as_bytes()).and_status(Some(&image)))
    }

    /// It is about the directories that objects are in, too. Their status changes whenever an object comes, goes, or is
    /// replaced.
    pub(crate) fn and_objects(&self, mut about: About) -> Result<About> {
        for fan in fans() {
            about = about.and_status(self.objects.stat(fan)?.as_ref());
        }
        Ok(about)
    }

    /// The fact that these packs have all objects of metadata image `id`, the packs as they are now. Whoever finds that out
    /// has the store [remember](Self::remember) it.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn packs_are_complete(&self, id: &ObjectId, packs: &[RootHash]) -> Result<Fact> {
        let mut about = About::new().and(id.as_bytes());
        for pack in packs {
            about = about.and(pack.as_bytes()).and_status(self.root.stat(pack_path(pack))?.as_ref());
        }
        Ok(about.fact("packs are complete"))
    }

    /// The fact that those layers, the lowest first, make metadata image `id`, which has that size, by that `rule`: a text that
    /// says all that it depends on besides. It holds for ever; whether the store has the image, is another question.
    #[must_use]
    pub fn layers_make(
        &self,
        layers: impl IntoIterator<Item = DiffId>,
        rule: &str,
        id: &ObjectId,
        size_bytes: u64,
    ) -> Fact {
        let mut about = About::new().and(rule.as_bytes()).and(id.as_bytes()).and(&size_bytes.to_le_bytes());
        for layer in layers {
            about = about.and(layer.to_string().as_bytes());
        }
        about.fact("layers make")
    }

    /// The fact that layers whose records have those [hashes](Self::layer_record_hash), the lowest first, make metadata image
    /// `id` by that `rule`: a text that says all that it depends on besides. It is about bytes alone, and holds for ever.
    #[must_use]
    pub fn records_make(&self, records: &[[u8; 32]], rule: &str, id: &ObjectId) -> Fact {
        let about = About::new().and(rule.as_bytes()).and(id.as_bytes());
        records.iter().fold(about, |about, record| about.and(record)).fact("records make")
    }

    /// Whether the store has metadata image `id`, undamaged; as [`check_object`](Self::check_object).
    ///
    /// # Errors
    /// As [`check_object`](Self::check_object).
    pub fn check_metadata_image(&self, id: &ObjectId) -> Result<ObjectState> {
        self.check_id(id)?;
        let state = self.check_file(&self.images, Path::new(&metadata_image_file_name(id)), id)?;
        // What was hashed for this is not hashed the next time, where that can be written down.
        _ = self.verified.save(&self.root);
        Ok(state)
    }
}

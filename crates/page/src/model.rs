//! What a page is about. Times are texts in UTC, as people read them.

/// Everything that is on a page.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The version of the program that found it out.
    pub version: String,
    /// When; left out where nobody says.
    pub made: Option<String>,
    /// Where the store is.
    pub store: String,
    /// The images, each once, in the order in which they are shown.
    pub images: Vec<Image>,
    /// What they take together.
    pub together: Together,
    /// What pairs of them have in common, by their places among the images. Not of all pairs, where there are many images.
    pub pairs: Vec<Pair>,
    /// The machine, where that is to be on the page.
    pub host: Option<Host>,
}

/// Bytes of objects, or of packs, by how many of the images have them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Together {
    /// What one image alone has.
    pub own_bytes: u64,
    /// What several have, counted once.
    pub shared_bytes: u64,
}

/// What two images have in common.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// The places of the two.
    pub places: [usize; 2],
    /// Layers.
    pub layers: u64,
    /// Objects.
    pub objects: u64,
    /// The bytes of these.
    pub bytes: u64,
}

/// An image.
#[derive(Debug, Clone)]
pub struct Image {
    /// All its names that are asked for, at least one.
    pub names: Vec<String>,
    /// The digest of its manifest.
    pub manifest: String,
    /// What it is for, such as `linux/amd64`.
    pub platform: String,
    /// How its objects are kept.
    pub kept_in: String,
    /// What it takes.
    pub size_bytes: u64,
    /// What of that no other image on the page has.
    pub own_bytes: u64,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
    /// Where it is from, and who has signed it.
    pub chain: Chain,
    /// What a policy does to it; or why that is not known.
    pub checked: Result<Checked, String>,
    /// What became of the image that had the name before; nothing where there was none.
    pub change: Option<Result<Change, String>>,
}

/// A layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// What it is known by: the digest of its tar.
    pub diff_id: String,
    /// What it takes in the form in which the image is kept.
    pub bytes: u64,
    /// What was fetched for it.
    pub blob_bytes: u64,
    /// The root hash of its pack, where it is kept in one.
    pub pack: Option<String>,
    /// The names of images of the store that have it too, and are not on the page.
    pub also_in: Vec<String>,
}

/// From where an image is, and by whose word.
#[derive(Debug, Clone)]
pub struct Chain {
    /// What was asked for.
    pub pulled_as: String,
    /// When it came.
    pub pulled: String,
    /// The index that the manifest was chosen from.
    pub index: Option<String>,
    /// The metadata image's digest.
    pub metadata_image: String,
    /// The metadata image's size.
    pub metadata_image_bytes: u64,
    /// What of its parts contradicts the rest.
    pub failures: Vec<String>,
    /// Its seal, or what is wrong with that; nothing where it has none.
    pub seal: Option<Result<Sealed, String>>,
    /// What was attested of it when it came, of what rules want.
    pub attestations: Vec<Attested>,
    /// What the trust store says of it for each name; or why that is not known.
    pub judged: Result<Vec<Judged>, String>,
    /// Which of the kernel's keyrings could not be read, and why.
    pub keyrings_unknown: Vec<String>,
}

/// What a seal says.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The names that it is for.
    pub names: Vec<String>,
    /// Its epoch.
    pub epoch: u64,
    /// When it says that it was made.
    pub created: String,
    /// Every signature in it.
    pub signatures: Vec<Signature>,
}

/// Something that was attested.
#[derive(Debug, Clone)]
pub struct Attested {
    /// The type of what was said, such as `https://slsa.dev/provenance/v1`.
    pub predicate_type: String,
    /// Whose signature was good: the trust store's name, or the key's SHA-256 where it has none any more.
    pub key: String,
}

/// A signature of a seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// What is signed: `statement`, `metadata image`, `pack of layer 2`.
    pub of: String,
    /// The root hash that is signed, where it is one.
    pub root_hash: Option<String>,
    /// Whose it is, as it says itself.
    pub signer: String,
    /// The trust store's certificate that it is by; or why it does not count.
    pub certificate: Result<Certificate, String>,
}

/// A certificate of the trust store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// What the trust store calls it.
    pub names: Vec<String>,
    /// The first day on which it is valid.
    pub from: String,
    /// The last.
    pub until: String,
    /// Its SHA-256.
    pub sha256: String,
    /// The keyrings of this machine's kernel that have it, where it is for what kernels look at.
    pub keyrings: Option<Vec<String>>,
}

/// What the trust store says of an image under a name.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The name.
    pub name: String,
    /// Why the image may not have it.
    pub refusal: Option<String>,
    /// Whether a seal of it counts.
    pub sealed: bool,
}

/// What a policy does to an image.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// The policy's name and version.
    pub policy: String,
    /// Where the policy is from.
    pub origin: String,
    /// As what the image is judged.
    pub judged_as: String,
    /// What decides, each once.
    pub reasons: Vec<Reason>,
    /// All files that the policy is asked about, by path.
    pub files: Vec<File>,
    /// What there is to know besides.
    pub notes: Vec<Note>,
}

/// Why files are allowed or denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Which of the two.
    pub allows: bool,
    /// The line of the policy; where several say the same of other digests, the first that is met.
    pub rule: String,
    /// How many such lines there are besides.
    pub more_rules: usize,
    /// What about the files made it decide.
    pub why: String,
}

/// A file that a policy decides on.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path in the image.
    pub path: Vec<u8>,
    /// The place of the reason.
    pub reason: usize,
    /// What it is: `program`, `script`.
    pub kind: &'static str,
    /// What would be done with it, in the policy's word.
    pub operation: String,
}

/// Something that no policy can help with.
#[derive(Debug, Clone)]
pub struct Note {
    /// Its kind's word, as `policy check` has it.
    pub kind: &'static str,
    /// The file that it is about.
    pub path: Option<Vec<u8>>,
    /// What there is to know.
    pub text: String,
}

/// What became of the image before.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The digest of the manifest of the one before.
    pub before: String,
    /// When that came.
    pub pulled: String,
    /// Objects that both have.
    pub both: Totals,
    /// Objects that only the earlier one has.
    pub gone: Totals,
    /// Objects that only this one has.
    pub new: Totals,
    /// The packages of a distribution that differ, or why these are not known; nothing where neither image lists any.
    pub packages: Option<Result<Vec<PackageChange>, String>>,
    /// The files that differ, by path.
    pub files: Vec<ChangedFile>,
}

/// A package that has not the same version in two images.
#[derive(Debug, Clone)]
pub struct PackageChange {
    /// Its name.
    pub name: String,
    /// Its version in the earlier one, if that has it.
    pub before: Option<String>,
    /// Its version in this one, if this has it.
    pub now: Option<String>,
}

/// A number of objects, and their bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// How many.
    pub number: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A file that is not the same in two images.
#[derive(Debug, Clone)]
pub struct ChangedFile {
    /// Its path.
    pub path: Vec<u8>,
    /// In what it differs.
    pub difference: Difference,
}

/// In what a file differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Only the image has it.
    Added,
    /// Only the one before has it.
    Removed,
    /// Both have it, with these differences.
    Changed(Vec<&'static str>),
}

/// A machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// The kernel's release.
    pub kernel: String,
    /// What the kernel enforces, in words.
    pub enforces: String,
    /// Whether it denies anything.
    pub enforcing: bool,
    /// The text of the policy that decides.
    pub policy: Option<String>,
    /// The levels that mounts can reach, the lowest first.
    pub levels: Vec<LevelReach>,
    /// Whom the kernel trusts.
    pub keyrings: Vec<Keyring>,
    /// The mounts of images; or why they are not known.
    pub mounts: Result<Vec<Mount>, String>,
    /// What the kernel denied since it started, as far as its log goes back; or why that is not known.
    pub denials: Result<Vec<Denial>, String>,
}

/// A level.
#[derive(Debug, Clone)]
pub struct LevelReach {
    /// Its word.
    pub name: String,
    /// How it is reached; or why it is not.
    pub how: Result<String, String>,
}

/// A keyring.
#[derive(Debug, Clone)]
pub struct Keyring {
    /// Its name.
    pub name: String,
    /// What is in it; or why that is not known.
    pub keys: Result<Vec<String>, String>,
}

/// A mount of an image.
#[derive(Debug, Clone)]
pub struct Mount {
    /// Where.
    pub target: String,
    /// Of what.
    pub image: String,
    /// What it is good for; or why that is not known.
    pub level: Result<String, String>,
    /// Why not for more.
    pub why_not_more: String,
    /// Since when, where that was noted.
    pub since: Option<String>,
}

/// Something that the kernel denied, or would have.
#[derive(Debug, Clone)]
pub struct Denial {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
    /// How often.
    pub count: u64,
}

//! What a policy decides, as security/ipe/eval.c does.

use sealpack_format::digest::{ObjectId, RootHash};

use super::{Action, Operation, Policy, Property, Rule};

/// What the kernel knows of a file when it asks IPE. The default is what it knows of memory that
/// is no file, and of a file on an ordinary filesystem.
///
/// On overlayfs all but `boot_verified` is of the real file below: the one in a pack, in the
/// metadata image, among the objects, or in the upper directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// Whether it is on the initramfs's own filesystem, not through an overlay.
    pub boot_verified: bool,
    /// The dm-verity device that it is on. A filesystem mounted from a file has none.
    pub dmverity: Option<Dmverity>,
    /// Its fs-verity, if it is enabled.
    pub fsverity: Option<Fsverity>,
}

/// A dm-verity device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dmverity {
    /// Its root hash; `None` where it is not known, in which case no rule about one matches.
    pub root_hash: Option<RootHash>,
    /// Whether the kernel accepted a signature of the root hash.
    pub signed: bool,
}

/// The fs-verity of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fsverity {
    /// The digest.
    pub digest: ObjectId,
    /// Whether the kernel accepted a builtin signature.
    pub signed: bool,
}

/// What a policy decides of a file, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'p> {
    /// What happens.
    pub action: Action,
    /// What decided.
    pub by: DecidedBy<'p>,
    operation: Operation,
    /// Why, in words.
    reason: String,
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecidedBy<'p> {
    /// The first rule that matched.
    Rule(&'p Rule),
    /// `DEFAULT op=…`: no rule matched.
    OperationDefault,
    /// `DEFAULT`: no rule matched, and the operation has no default.
    GlobalDefault,
}

impl Decision<'_> {
    /// The deciding line of the policy, in the form in which policies are printed.
    #[must_use]
    pub fn rule_text(&self) -> String {
        let Self { operation, action, .. } = self;
        match self.by {
            DecidedBy::Rule(rule) => rule.to_string(),
            DecidedBy::OperationDefault => format!("DEFAULT op={operation} action={action}"),
            DecidedBy::GlobalDefault => format!("DEFAULT action={action}"),
        }
    }

    /// Why, in words: what about the file made the rule match, or kept all of them from it.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl Policy {
    /// What the kernel decides when `operation` is to be done with a file of which it knows
    /// `facts`, while this policy is active and enforcing.
    #[must_use]
    pub fn evaluate(&self, operation: Operation, facts: &FileFacts) -> Decision<'_> {
        let default = self.default_action(operation);
        let mut unmet = Unmet::default();
        for rule in self.rules().iter().filter(|rule| rule.operation == operation) {
            match rule.properties.iter().find(|property| !property.holds(facts)) {
                Some(property) if rule.action != default => unmet.add(property),
                // It would have changed nothing.
                Some(_) => unmet.others = true,
                None => {
                    let (action, by) = (rule.action, DecidedBy::Rule(rule));
                    return Decision { action, by, operation, reason: why_matched(rule, facts) };
                }
            }
        }
        let by = match self.operation_default(operation) {
            Some(_) => DecidedBy::OperationDefault,
            None => DecidedBy::GlobalDefault,
        };
        Decision { action: default, by, operation, reason: unmet.reason(facts) }
    }

    /// What the kernel decides when a file on a dm-verity device is to be executed: one of an image in packs, which has
    /// no fs-verity, and is not on the initramfs.
    #[must_use]
    pub fn executes_from(&self, device: Dmverity) -> Decision<'_> {
        let facts = FileFacts { dmverity: Some(device), ..FileFacts::default() };
        self.evaluate(Operation::Execute, &facts)
    }
}

impl Property {
    /// Whether a file is so.
    #[must_use]
    pub fn holds(&self, facts: &FileFacts) -> bool {
        match self {
            Self::BootVerified(wanted) => facts.boot_verified == *wanted,
            Self::DmveritySignature(wanted) => facts.dmverity.is_some_and(|device| device.signed) == *wanted,
            Self::FsveritySignature(wanted) => facts.fsverity.is_some_and(|verity| verity.signed) == *wanted,
            Self::DmverityRoothash(digest) => facts
                .dmverity
                .and_then(|device| device.root_hash)
                .is_some_and(|root| digest.is("sha256", root.as_bytes())),
            Self::FsverityDigest(digest) => facts
                .fsverity
                .is_some_and(|verity| digest.is(verity.digest.algorithm().name(), verity.digest.as_bytes())),
        }
    }
}

/// The properties that kept rules from matching that would have decided otherwise than the default,
/// each kind counted.
#[derive(Default)]
struct Unmet {
    /// One of each kind, with the number of rules that it kept from matching.
    kinds: Vec<(Property, usize)>,
    /// Whether there are rules that say the same as the default.
    others: bool,
}

impl Unmet {
    fn add(&mut self, property: &Property) {
        let same_kind = |other: &Property| match (other, property) {
            (Property::DmverityRoothash(_), Property::DmverityRoothash(_))
            | (Property::FsverityDigest(_), Property::FsverityDigest(_)) => true,
            _ => other == property,
        };
        match self.kinds.iter_mut().find(|(other, _)| same_kind(other)) {
            Some((_, count)) => *count += 1,
            None => self.kinds.push((property.clone(), 1)),
        }
    }

    fn reason(&self, facts: &FileFacts) -> String {
        if self.kinds.is_empty() {
            let reason = if self.others { "no rule matches" } else { "no rule is about this operation" };
            return reason.to_owned();
        }
        let mut reasons: Vec<String> =
            self.kinds.iter().map(|(property, count)| why_not(property, *count, facts)).collect();
        reasons.dedup();
        format!("no rule matches: {}", reasons.join("; "))
    }
}

/// Why the rule's properties hold.
fn why_matched(rule: &Rule, facts: &FileFacts) -> String {
    let reasons: Vec<&str> = rule.properties.iter().map(|property| why(property, facts)).collect();
    if reasons.is_empty() { "the rule has no conditions".to_owned() } else { reasons.join("; ") }
}

fn why(property: &Property, facts: &FileFacts) -> &'static str {
    match property {
        Property::BootVerified(true) => "it is on the initramfs",
        Property::BootVerified(false) => "it is not on the initramfs",
        Property::DmveritySignature(true) => "it is on a dm-verity device with an accepted signature",
        Property::DmveritySignature(false) => unsigned_device(facts),
        Property::DmverityRoothash(_) => "it is on the dm-verity device with this root hash",
        Property::FsverityDigest(_) => "it has fs-verity with this digest",
        Property::FsveritySignature(true) => "it has fs-verity with an accepted builtin signature",
        Property::FsveritySignature(false) => unsigned_file(facts),
    }
}

/// Why `count` rules with such a property do not match.
fn why_not(property: &Property, count: usize, facts: &FileFacts) -> String {
    let rules = || if count == 1 { "the rule's".to_owned() } else { format!("any of {count} rules") };
    match property {
        Property::BootVerified(true) => "it is not on the initramfs".to_owned(),
        Property::BootVerified(false) => "it is on the initramfs".to_owned(),
        Property::DmveritySignature(true) => unsigned_device(facts).to_owned(),
        Property::DmveritySignature(false) => "it is on a signed dm-verity device".to_owned(),
        Property::FsveritySignature(true) => unsigned_file(facts).to_owned(),
        Property::FsveritySignature(false) => "it has an accepted builtin signature".to_owned(),
        Property::DmverityRoothash(_) => match facts.dmverity {
            None => "it is on no dm-verity device".to_owned(),
            Some(Dmverity { root_hash: None, .. }) => {
                "the root hash of its dm-verity device is not known here".to_owned()
            }
            Some(_) => format!("the root hash of its dm-verity device is not {}", rules()),
        },
        Property::FsverityDigest(_) => match facts.fsverity {
            None => "it has no fs-verity".to_owned(),
            Some(_) => format!("its fs-verity digest is not {}", rules()),
        },
    }
}

const fn unsigned_device(facts: &FileFacts) -> &'static str {
    match facts.dmverity {
        None => "it is on no dm-verity device",
        Some(_) => "it is on a dm-verity device without an accepted signature",
    }
}

const fn unsigned_file(facts: &FileFacts) -> &'static str {
    match facts.fsverity {
        None => "it has no fs-verity",
        Some(_) => "it has fs-verity, but no accepted builtin signature",
    }
}

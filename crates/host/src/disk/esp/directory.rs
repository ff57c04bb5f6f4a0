//! The records that directories are made of.

/// The size of a record.
pub(super) const RECORD_BYTES: usize = 32;

/// The first day that FAT knows, 1980-01-01: no time of now gets onto the partition.
const DATE: u16 = 0x0021;

/// What a record is of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    File,
    Directory,
    /// The filesystem's label, in its root.
    Label,
}

/// A record with a short name.
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// Eight bytes and three of the suffix, without the dot between them.
    pub(super) short: [u8; 11],
    pub(super) cluster: u32,
    pub(super) size_bytes: u32,
}

impl Entry {
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let attributes = match self.kind {
            Kind::File => 0x20,
            Kind::Directory => 0x10,
            Kind::Label => 0x08,
        };
        let [low_0, low_1, high_0, high_1] = self.cluster.to_le_bytes();
        let [date_0, date_1] = DATE.to_le_bytes();
        bytes.extend(self.short);
        // No flags, no hundredths; time and day of making, day of the last look.
        bytes.extend([attributes, 0, 0, 0, 0, date_0, date_1, date_0, date_1]);
        bytes.extend([high_0, high_1]);
        bytes.extend([0, 0, date_0, date_1]);
        bytes.extend([low_0, low_1]);
        bytes.extend(self.size_bytes.to_le_bytes());
    }
}

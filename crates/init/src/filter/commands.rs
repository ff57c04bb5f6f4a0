//! Device-mapper's ioctls (include/uapi/linux/dm-ioctl.h).

/// `DM_IOCTL`, the type of all of them.
pub(super) const TYPE: u32 = 0xfd;

/// Those that look at devices, and change none: number and name.
pub(super) const LOOKING: [(u32, &str); 9] = [
    (0, "DM_VERSION"),
    (2, "DM_LIST_DEVICES"),
    (7, "DM_DEV_STATUS"),
    (8, "DM_DEV_WAIT"),
    (11, "DM_TABLE_DEPS"),
    (12, "DM_TABLE_STATUS"),
    (13, "DM_LIST_VERSIONS"),
    (16, "DM_DEV_ARM_POLL"),
    (17, "DM_GET_TARGET_VERSION"),
];

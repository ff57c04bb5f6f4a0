//! The program as `mkcomposefs`, `composefs-info`, `composefs-dump` and `mount.composefs`.

mod differential;

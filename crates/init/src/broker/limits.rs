//! How many connections and devices there may be, of all and of one user. Users have limits so that none of them delays the
//! others; but one may have thousands of user numbers (subuid(5)), so that there is always room that is kept for the
//! superuser.

use std::time::{Duration, Instant};

/// How many connections are served at once.
const SERVED_MAX: usize = 16;

/// How many of them can be those of users.
const SERVED_OF_USERS_MAX: usize = 12;

/// How many of one user.
const SERVED_OF_USER_MAX: usize = 4;

/// How many connections wait, having asked for nothing yet.
const WAITING_MAX: usize = 64;

/// How many of them can be those of users.
const WAITING_OF_USERS_MAX: usize = 48;

/// How many of one user.
const WAITING_OF_USER_MAX: usize = 8;

/// How long a connection may wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long serving a connection may take, with all that it asks for.
pub(super) const SERVED_FOR_MAX: Duration = Duration::from_secs(90);

/// How many devices a user may have who is not the superuser: two of the largest overlays. What is shared with others of
/// his mounts counts once.
const DEVICES_OF_USER_MAX: usize = 128;

/// How many all of them may have together: each takes memory of the kernel's that no user's limits count.
const DEVICES_OF_USERS_MAX: usize = 1024;

const SUPERUSER: u32 = 0;

/// A connection as far as limits go: whose it is, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Since {
    pub(super) user: u32,
    pub(super) instant: Instant,
}

/// What becomes of a connection that wants to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It waits.
    Wait,
    /// It waits, in the place of another.
    InPlaceOf(usize),
    /// It does not.
    Refuse,
}

/// What becomes of a connection of `user`, when those of `waiting` wait already, in the order in which they came.
pub(super) fn admit(user: u32, waiting: &[Since]) -> Admission {
    let is_users = |since: &&Since| since.user != SUPERUSER;
    if user == SUPERUSER {
        let oldest =
            || waiting.iter().position(|since| is_users(&since)).or((!waiting.is_empty()).then_some(0));
        return match waiting.len() < WAITING_MAX {
            true => Admission::Wait,
            false => oldest().map_or(Admission::Refuse, Admission::InPlaceOf),
        };
    }
    if waiting.iter().filter(|since| since.user == user).count() >= WAITING_OF_USER_MAX {
        return Admission::Refuse;
    }
    let is_room =
        waiting.len() < WAITING_MAX && waiting.iter().filter(is_users).count() < WAITING_OF_USERS_MAX;
    if is_room {
        return Admission::Wait;
    }
    // Who means it asks at once, and does not wait for long.
    waiting.iter().position(|since| is_users(&since)).map_or(Admission::Refuse, Admission::InPlaceOf)
}

/// Whether one more connection of `user` may be served, when those of `served` are.
pub(super) fn may_serve(user: u32, served: &[Since]) -> bool {
    let count = |is: &dyn Fn(&Since) -> bool| served.iter().filter(|since| is(since)).count();
    served.len() < SERVED_MAX
        && (user == SUPERUSER
            || count(&|since| since.user == user) < SERVED_OF_USER_MAX
                && count(&|since| since.user != SUPERUSER) < SERVED_OF_USERS_MAX)
}

/// Whether a user who is not the superuser may have `more` devices, when he has `of_user` and all such users `of_users`; else
/// why not.
pub(super) fn may_make(more: usize, of_user: usize, of_users: usize) -> Result<(), String> {
    for (whose, count, max) in
        [("", of_user, DEVICES_OF_USER_MAX), (" of all users", of_users, DEVICES_OF_USERS_MAX)]
    {
        if count.saturating_add(more) > max {
            return Err(format!("{count} of {max} devices{whose} in use, {more} more wanted"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(users: impl IntoIterator<Item = u32>) -> Vec<Since> {
        let instant = Instant::now();
        users.into_iter().map(|user| Since { user, instant }).collect()
    }

    #[test]
    fn one_user_fills_neither_the_queue_nor_the_table() {
        assert_eq!(admit(1000, &of([1000; 7])), Admission::Wait);
        assert_eq!(admit(1000, &of([1000; 8])), Admission::Refuse);
        assert_eq!(admit(1001, &of([1000; 8])), Admission::Wait);
        assert!(may_serve(1000, &of([1000; 3])) && !may_serve(1000, &of([1000; 4])));
        assert!(may_serve(1001, &of([1000; 4])));
    }

    /// Whoever has thousands of user numbers would otherwise have a hundred devices with each.
    #[test]
    fn users_of_many_numbers_do_not_make_devices_without_end() {
        assert_eq!(may_make(2, 126, 1022), Ok(()));
        assert_eq!(may_make(2, 127, 500).unwrap_err(), "127 of 128 devices in use, 2 more wanted");
        let why = may_make(2, 0, 1023).unwrap_err();
        assert_eq!(why, "1023 of 1024 devices of all users in use, 2 more wanted");
        assert!(why.len() <= sealpack_format::broker::TEXT_MAX_BYTES);
        assert!(may_make(usize::MAX, 1, 1).is_err());
    }

    #[test]
    fn users_of_many_numbers_leave_room_for_the_superuser() {
        let many = of(1000..1012);
        assert!(!may_serve(5, &many) && may_serve(0, &many));
        assert!(!may_serve(0, &of((1000..1012).chain([0; 4]))));
        let many = of(1000..1048);
        assert_eq!(admit(5, &many), Admission::InPlaceOf(0));
        assert_eq!(admit(0, &many), Admission::Wait);
        let full = of([0; 16].into_iter().chain(1000..1048));
        assert_eq!(admit(0, &full), Admission::InPlaceOf(16));
        assert_eq!(admit(5, &full), Admission::InPlaceOf(16));
        assert_eq!(admit(0, &of([0; 64])), Admission::InPlaceOf(0));
        assert_eq!(admit(5, &of([0; 64])), Admission::Refuse);
    }
}

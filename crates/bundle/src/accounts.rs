//! Users and groups, as an image's own `/etc/passwd` and `/etc/group` have them (passwd(5), group(5)).

/// The most that such a file may have.
pub const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The most supplementary groups of a process (NGROUPS_MAX of Linux, include/uapi/linux/limits.h).
const GROUPS_MAX: usize = 65_536;

/// The users and groups of an image. Lines that are none are passed over, as C libraries do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The numbers of further groups, in order, each once; that of `gid` is not among them.
    pub further_gids: Vec<u32>,
    /// The user's home directory; `/` where the image does not say.
    pub home: String,
}

/// A user or group that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// No such user.
    #[error("there is no user {0:?} in the image's /etc/passwd")]
    NoUser(String),
    /// No such group.
    #[error("there is no group {0:?} in the image's /etc/group")]
    NoGroup(String),
    /// Not `USER[:GROUP]`.
    #[error("{0:?} is no user: it has to be USER[:GROUP], each a name or a number up to 4294967294")]
    Malformed(String),
}

impl Accounts {
    /// Those of the two files; a file that is not there is empty.
    #[must_use]
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let (passwd, group) = (String::from_utf8_lossy(passwd), String::from_utf8_lossy(group));
        Self {
            users: passwd.lines().filter_map(User::parse).collect(),
            groups: group.lines().filter_map(Group::parse).collect(),
        }
    }

    /// Who `USER[:GROUP]` is; nobody said is root.
    ///
    /// A word of digits is a number, which need not be in the files: without an entry, its group is 0. The supplementary
    /// groups are those that name the user as a member, unless a group is given.
    ///
    /// # Errors
    /// A name that is not there, or what is none.
    pub fn identity(&self, wanted: &str) -> Result<Identity, AccountError> {
        let malformed = || AccountError::Malformed(wanted.to_owned());
        let (user, group) = match wanted.split_once(':') {
            Some((_, "")) => return Err(malformed()),
            Some((user, group)) => (user, Some(group)),
            None => (wanted, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let number = number_of(user).map_err(|()| malformed())?;
        let group =
            group.map(|group| Ok((group, number_of(group)?))).transpose().map_err(|()| malformed())?;
        let entry = self.users.iter().find(|entry| match number {
            Some(uid) => entry.uid == uid,
            None => entry.name == user,
        });
        let uid = entry.map(|entry| entry.uid).or(number);
        let uid = uid.ok_or_else(|| AccountError::NoUser(user.to_owned()))?;
        let home = entry.map(|entry| entry.home.as_str()).filter(|home| home.starts_with('/'));
        let home = home.unwrap_or("/").to_owned();
        let Some((group, gid)) = group else {
            let gid = entry.map_or(0, |entry| entry.gid);
            let further_gids = entry.map(|entry| self.memberships(&entry.name, gid)).unwrap_or_default();
            return Ok(Identity { uid, gid, further_gids, home });
        };
        let entry = || self.groups.iter().find(|entry| entry.name == group).map(|entry| entry.gid);
        let gid = gid.or_else(entry).ok_or_else(|| AccountError::NoGroup(group.to_owned()))?;
        Ok(Identity { uid, gid, further_gids: Vec::new(), home })
    }

    /// The groups that name `user` as a member, but for `primary`.
    fn memberships(&self, user: &str, primary: u32) -> Vec<u32> {
        let has = |group: &&Group| group.members.iter().any(|member| member == user);
        let mut gids: Vec<u32> = self.groups.iter().filter(has).map(|group| group.gid).collect();
        gids.retain(|gid| *gid != primary);
        gids.sort_unstable();
        gids.dedup();
        gids.truncate(GROUPS_MAX);
        gids
    }
}

/// The number that a word of digits is, `None` for a name. `u32::MAX` means nobody to the kernel.
fn number_of(word: &str) -> Result<Option<u32>, ()> {
    if word.is_empty() || word.contains([':', '\0', '\n']) {
        return Err(());
    }
    if !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    word.parse().ok().filter(|number| *number != u32::MAX).map(Some).ok_or(())
}

impl User {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        // The comment, then the home.
        let home = fields.nth(1).unwrap_or_default().to_owned();
        Some(Self { name, uid, gid, home })
    }
}

impl Group {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
        let gid = fields.nth(1)?.parse().ok()?;
        let members = fields.next().unwrap_or_default().split(',').map(str::trim);
        let members = members.filter(|member| !member.is_empty()).map(str::to_owned).collect();
        Some(Self { name, gid, members })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        # a comment\n\
        broken:x:one:1::/:\n\
        app:x:1000:1000:An App,,:/srv/app:/bin/false\n\
        homeless:x:1001:1001\n\
        \xff:x:9:9::/:/\n";
    const GROUP: &[u8] =
        b"root:x:0:\nadm:x:4:app,root\napp:x:1000:app\nwheel:x:10: app , other\ndocker:x:10:app\n";

    fn identity(wanted: &str) -> Result<(u32, u32, Vec<u32>, String), AccountError> {
        let accounts = Accounts::parse(PASSWD, GROUP);
        accounts.identity(wanted).map(|who| (who.uid, who.gid, who.further_gids, who.home))
    }

    #[test]
    fn users_are_known_by_name_and_by_number_with_their_groups() {
        let app = Ok((1000, 1000, vec![4, 10], "/srv/app".to_owned()));
        assert_eq!((identity("app"), identity("1000")), (app.clone(), app));
        assert_eq!(identity(""), Ok((0, 0, vec![4], "/root".to_owned())));
        assert_eq!(identity("homeless"), Ok((1001, 1001, vec![], "/".to_owned())));
    }

    #[test]
    fn a_group_that_is_given_is_the_only_one() {
        assert_eq!(identity("app:adm"), Ok((1000, 4, vec![], "/srv/app".to_owned())));
        assert_eq!(identity("app:4242"), Ok((1000, 4242, vec![], "/srv/app".to_owned())));
        assert_eq!(identity(":wheel"), Ok((0, 10, vec![], "/root".to_owned())));
    }

    #[test]
    fn a_number_need_not_be_in_the_image_but_a_name_does() {
        assert_eq!(identity("77"), Ok((77, 0, vec![], "/".to_owned())));
        assert_eq!(identity("77:88"), Ok((77, 88, vec![], "/".to_owned())));
        assert_eq!(identity("nobody"), Err(AccountError::NoUser("nobody".into())));
        assert_eq!(identity("app:nogroup"), Err(AccountError::NoGroup("nogroup".into())));
        let without_files = Accounts::default();
        assert_eq!(without_files.identity("0").map(|who| who.uid), Ok(0));
        assert_eq!(without_files.identity("root"), Err(AccountError::NoUser("root".into())));
    }

    #[test]
    fn what_is_no_user_is_told_so() {
        for wanted in ["app:", "4294967295", "99999999999", "1:4294967295", "a:b:c", ":", "a\0"] {
            assert_eq!(identity(wanted), Err(AccountError::Malformed(wanted.to_owned())));
        }
    }
}

use super::*;
use crate::runtime::SeededRandom;
use std::os::unix::fs::symlink;

/// A directory for the key and one for the data.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.data()).unwrap();
        home
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("config/postroom/master.key")
    }

    fn key_file(&self) -> KeyFile {
        KeyFile::at(&self.path(), &self.data()).unwrap()
    }

    /// Writes a key file of the given content and mode.
    fn write(&self, content: &[u8], mode: u32) -> KeyFile {
        fs::create_dir_all(self.path().parent().unwrap()).unwrap();
        fs::write(self.path(), content).unwrap();
        fs::set_permissions(self.path(), Permissions::from_mode(mode)).unwrap();
        self.key_file()
    }
}

#[test]
fn a_new_key_is_one_line_for_its_owner_only_and_loads_again() {
    let home = Home::new();
    let created = home.key_file().create(&SeededRandom::new(1)).unwrap();
    let metadata = fs::metadata(home.path()).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(home.path().parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    let text = fs::read_to_string(home.path()).unwrap();
    assert!(text.starts_with(PREFIX) && text.ends_with('\n') && text.lines().count() == 1);
    assert_eq!(home.key_file().load().unwrap().bytes(), created.bytes());
    let files = fs::read_dir(home.path().parent().unwrap()).unwrap().count();
    assert_eq!(files, 1, "the draft is gone");
}

#[test]
fn an_existing_key_is_never_replaced() {
    let home = Home::new();
    let first = home.key_file().create(&SeededRandom::new(1)).unwrap();
    assert!(matches!(home.key_file().create(&SeededRandom::new(2)), Err(KeyError::Exists(_))));
    assert_eq!(home.key_file().load().unwrap().bytes(), first.bytes());
    assert_eq!(fs::read_dir(home.path().parent().unwrap()).unwrap().count(), 1, "no draft is left behind");
}

#[test]
fn a_key_that_others_may_use_is_refused_with_the_command_that_helps() {
    let home = Home::new();
    for mode in [0o644, 0o640, 0o620, 0o601] {
        let line = MasterKey::ephemeral(&SeededRandom::new(1)).to_line();
        let error = home.write(line.as_bytes(), mode).load().unwrap_err();
        assert!(matches!(error, KeyError::Exposed { .. }), "{mode:o}: {error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    // A credential's access list shows in the group's bits; everybody is still too many.
    let credential = KeyFile::credential(&home.path(), &home.data()).unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o440)).unwrap();
    assert!(credential.load().is_ok());
    fs::set_permissions(home.path(), Permissions::from_mode(0o444)).unwrap();
    assert!(matches!(credential.load(), Err(KeyError::Exposed { .. })));
}

#[test]
fn a_key_inside_the_data_directory_is_refused_however_the_path_is_written() {
    let home = Home::new();
    let data = home.data();
    symlink(&data, home.0.path().join("link")).unwrap();
    for path in [
        data.join("master.key"),
        data.join("deep/er/master.key"),
        home.0.path().join("elsewhere/../data/master.key"),
        home.0.path().join("link/master.key"),
    ] {
        assert!(matches!(KeyFile::at(&path, &data), Err(KeyError::InsideData { .. })), "{}", path.display());
    }
    // A link outside whose file lies inside.
    fs::write(data.join("k"), "x").unwrap();
    symlink(data.join("k"), home.0.path().join("outside.key")).unwrap();
    assert!(matches!(KeyFile::at(&home.0.path().join("outside.key"), &data), Err(KeyError::InsideData { .. })));
    // A neighbour whose name starts alike is not inside; nor does a data directory that is missing hide anything.
    assert!(KeyFile::at(&home.0.path().join("data-keys/master.key"), &data).is_ok());
    assert!(KeyFile::at(&home.0.path().join("new/master.key"), &home.0.path().join("new")).is_err());
}

#[test]
fn what_is_no_key_is_told_apart_from_a_key_that_was_cut() {
    let home = Home::new();
    assert!(matches!(home.key_file().load(), Err(KeyError::Missing(_))));
    let good = MasterKey::ephemeral(&SeededRandom::new(1)).to_line();
    let long = vec![b'a'; 100_000];
    let cases: [(&[u8], bool); 8] = [
        (b"", false),
        (b"hunter2", false),
        (b"postroom-key-2:AAAA", false),
        (b"postroom-key-1:not base64!", false),
        (b"\xff\xfe", false),
        (&long, false),
        (b"postroom-key-1:AAAA\n", true),
        (&good.as_bytes()[..good.len() - 4], true),
    ];
    for (content, cut) in cases {
        let error = home.write(content, 0o600).load().unwrap_err();
        let shown = error.to_string();
        assert_eq!(matches!(error, KeyError::Length { .. }), cut, "{shown}");
        assert_eq!(matches!(error, KeyError::Malformed(_)), !cut, "{shown}");
        assert!(!shown.contains("hunter2"), "an error shows nothing of the file");
    }
    // Written by an editor of another system, or without the line's end.
    assert!(home.write(format!("{}\r\n", good.trim()).as_bytes(), 0o600).load().is_ok());
    assert!(home.write(good.trim().as_bytes(), 0o600).load().is_ok());
}

#[test]
fn a_directory_in_the_keys_place_is_an_error() {
    let home = Home::new();
    fs::create_dir_all(home.path()).unwrap();
    assert!(matches!(home.key_file().load(), Err(KeyError::Malformed(_))));
    assert!(home.key_file().create(&SeededRandom::new(1)).is_err());
}

//! The key that seals keys: whoever starts the whole service for himself need not think of it.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::Context as _;
use secrecy::SecretString;

const FILE: &str = "master.key";

/// The master key in `data_dir`, made there when there is none: readable by its owner alone.
pub(crate) fn of(data_dir: &Path) -> anyhow::Result<SecretString> {
    fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot make the folder {}", data_dir.display()))?;
    let path = data_dir.join(FILE);
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match made {
        Ok(mut file) => {
            let key = store::Vault::generate_base64();
            file.write_all(key.as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("cannot write {}", path.display()))?;
            tracing::info!(path = %path.display(), "made a master key; without it, stored keys of targets are lost");
            Ok(key.into())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let key = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Ok(key.trim().into())
        }
        Err(error) => Err(error).with_context(|| format!("cannot make {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("new");
        let made = of(&data_dir).unwrap();
        assert_eq!(of(&data_dir).unwrap().expose_secret(), made.expose_secret());
        assert!(store::Vault::from_base64(made.expose_secret()).unwrap().is_open());
        let mode = fs::metadata(data_dir.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

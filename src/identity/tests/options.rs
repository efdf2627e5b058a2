//! What the configuration says of Keystone.

use super::super::*;
use super::config;
use crate::config::Config;
use crate::keystone::KeystoneError;

#[test]
fn the_challenge_names_the_public_keystone() {
    let mut config = config("http://internal/v3".to_owned());
    let challenge = |config: &Config| Authenticator::new(config).unwrap().challenge().unwrap();
    assert_eq!(challenge(&config), "Keystone uri=\"http://internal/v3\"");
    config.keystone_authtoken.www_authenticate_uri = Some("http://public/v3".to_owned());
    assert_eq!(challenge(&config), "Keystone uri=\"http://public/v3\"");
}

#[tokio::test]
async fn an_authenticator_goes_on_until_its_options_or_their_files_change() {
    let mut config = config("http://k/v3".to_owned());
    let file = tempfile::NamedTempFile::new().unwrap();
    let certificate = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
    std::fs::write(file.path(), certificate()).unwrap();
    config.keystone_authtoken.cafile = Some(file.path().to_str().unwrap().to_owned());
    let authenticator = Authenticator::new(&config).unwrap();

    config.default.debug = true;
    assert!(authenticator.is_made_from(&config));
    let mut other = config.clone();
    other.keystone_authtoken.password = Some("renewed".into());
    assert!(!authenticator.is_made_from(&other));
    std::fs::write(file.path(), certificate() + "\n").unwrap();
    assert!(!authenticator.is_made_from(&config));
}

#[test]
fn wrong_options_prevent_the_start() {
    assert!(matches!(Authenticator::new(&Config::default()), Err(KeystoneError::Missing { option: "auth_type", .. })));
    let mut config = config("http://k/v3".to_owned());
    config.keystone_authtoken.cafile = Some("/nowhere/ca.pem".to_owned());
    let error = Authenticator::new(&config).unwrap_err().to_string();
    assert!(error.starts_with("[keystone_authtoken] cafile: cannot read /nowhere/ca.pem"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    config.keystone_authtoken.cafile = None;
    config.keystone_authtoken.certfile = Some(file.path().to_str().unwrap().to_owned());
    let error = Authenticator::new(&config).unwrap_err().to_string();
    assert!(error.starts_with("[keystone_authtoken] certfile: ") && error.contains("holds no usable PEM"), "{error}");
}

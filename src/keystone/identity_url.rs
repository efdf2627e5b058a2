//! Where Keystone's own API is, for a service account that is logged in.

use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

use super::discovery;
use super::error::KeystoneError;
use super::outgoing::Outgoing;
use super::region::Region;
use super::session::Grant;
use super::single_flight::SingleFlight;

/// Keystone's v3 API as the catalog of the last grant has it, looked for once for each grant, by one task; others share its failure as
/// well.
#[derive(Debug)]
pub(super) struct IdentityUrl {
    /// In the order in which they are tried.
    interfaces: Vec<String>,
    region: Option<Region>,
    /// In place of what a catalog says.
    fixed: Option<Url>,
    known: Mutex<Option<(Arc<Grant>, Url)>>,
    /// To look for it.
    flight: SingleFlight,
}

impl IdentityUrl {
    pub(super) fn new(interfaces: Vec<String>, region: Option<Region>, fixed: Option<Url>) -> Self {
        Self { interfaces, region, fixed, known: Mutex::new(None), flight: SingleFlight::default() }
    }

    /// # Errors
    /// The catalog has no such endpoint, or Keystone is not there.
    pub(super) async fn find(&self, client: &Outgoing, grant: &Arc<Grant>) -> Result<Url, Arc<KeystoneError>> {
        let known = || {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.as_ref().filter(|(for_whom, _)| Arc::ptr_eq(for_whom, grant)).map(|(_, url)| url.clone())
        };
        let look = async {
            let endpoint = match &self.fixed {
                Some(url) => url.clone(),
                None => self.endpoint(grant)?,
            };
            let url = discovery::v3(client, &endpoint, true).await?;
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((grant.clone(), url.clone()));
            Ok(url)
        };
        self.flight.get(known, look).await
    }

    fn endpoint(&self, grant: &Grant) -> Result<Url, KeystoneError> {
        let mut last = None;
        for interface in &self.interfaces {
            match grant.endpoint("identity", interface, self.region.as_ref()) {
                Ok(url) => return Ok(url),
                Err(error) => last = Some(error),
            }
        }
        Err(last
            .unwrap_or_else(|| KeystoneError::Endpoint { service: "identity".to_owned(), interface: String::new() }))
    }
}

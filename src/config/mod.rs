//! oslo.config files become typed options: one struct for each section, with upstream's names and defaults.

mod sections;

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};

pub use sections::*;

/// A value that must not appear in a log, an error or a dump of the options.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself; call it only where it is used.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(SecretString::from(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// All options in force. Made once for a start or a reload, then never changed.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `[DEFAULT]`
    pub default: DefaultSection,
    /// `[barbican]`
    pub barbican: BarbicanSection,
    /// `[barbican_service_user]`
    pub barbican_service_user: BarbicanServiceUserSection,
    /// `[cors]`
    pub cors: CorsSection,
    /// `[database]`
    pub database: DatabaseSection,
    /// `[glance_download_properties]`
    pub glance_download_properties: GlanceDownloadPropertiesSection,
    /// `[glance_store]`
    pub glance_store: GlanceStoreSection,
    /// `[healthcheck]`
    pub healthcheck: HealthcheckSection,
    /// `[image_conversion]`
    pub image_conversion: ImageConversionSection,
    /// `[image_format]`
    pub image_format: ImageFormatSection,
    /// `[image_import_opts]`
    pub image_import_opts: ImageImportOptsSection,
    /// `[import_filtering_opts]`
    pub import_filtering_opts: ImportFilteringOptsSection,
    /// `[inject_metadata_properties]`
    pub inject_metadata_properties: InjectMetadataPropertiesSection,
    /// `[key_manager]`
    pub key_manager: KeyManagerSection,
    /// `[keystone_authtoken]`
    pub keystone_authtoken: KeystoneAuthtokenSection,
    /// `[os_brick]`
    pub os_brick: OsBrickSection,
    /// `[oslo_concurrency]`
    pub oslo_concurrency: OsloConcurrencySection,
    /// `[oslo_limit]`
    pub oslo_limit: OsloLimitSection,
    /// `[oslo_messaging_kafka]`
    pub oslo_messaging_kafka: OsloMessagingKafkaSection,
    /// `[oslo_messaging_notifications]`
    pub oslo_messaging_notifications: OsloMessagingNotificationsSection,
    /// `[oslo_messaging_rabbit]`
    pub oslo_messaging_rabbit: OsloMessagingRabbitSection,
    /// `[oslo_middleware]`
    pub oslo_middleware: OsloMiddlewareSection,
    /// `[oslo_policy]`
    pub oslo_policy: OsloPolicySection,
    /// `[oslo_reports]`
    pub oslo_reports: OsloReportsSection,
    /// `[paste_deploy]`
    pub paste_deploy: PasteDeploySection,
    /// `[profiler]`
    pub profiler: ProfilerSection,
    /// `[service]`
    pub service: ServiceSection,
    /// `[store_type_location_strategy]`
    pub store_type_location_strategy: StoreTypeLocationStrategySection,
    /// `[task]`
    pub task: TaskSection,
    /// `[taskflow_executor]`
    pub taskflow_executor: TaskflowExecutorSection,
    /// `[vault]`
    pub vault: VaultSection,
    /// `[wsgi]`
    pub wsgi: WsgiSection,
    /// The sections named by `enabled_backends`, and the two reserved stores, each option looked up in the store's own
    /// section, then `[backend_defaults]`, then the built-in default.
    pub stores: BTreeMap<String, StoreSection>,
}

/// One store of a multi-store configuration.
#[derive(Clone, Debug, Default)]
pub struct StoreSection {
    /// Driver type: the value beside the store's id in `enabled_backends`.
    pub driver: String,
    /// Text about the store shown by `info/stores`.
    pub store_description: Option<String>,
    /// Preference when choosing among locations; higher first.
    pub weight: i64,
    /// The driver's options.
    pub options: GlanceStoreSection,
}

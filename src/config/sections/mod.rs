//! The sections of the configuration, one file for each.
//!
//! An option is declared once, with its meaning, type, default and limits; see [`section!`](super::option::section).

mod audit_middleware_notifications;
mod barbican;
mod barbican_service_user;
mod cors;
mod database;
mod default;
mod glance_download_properties;
mod glance_store;
mod healthcheck;
mod image_conversion;
mod image_format;
mod image_import_opts;
mod import_filtering_opts;
mod inject_metadata_properties;
mod key_manager;
mod keystone_authtoken;
mod oslo_concurrency;
mod oslo_limit;
mod oslo_messaging_kafka;
mod oslo_messaging_notifications;
mod oslo_messaging_rabbit;
mod oslo_middleware;
mod oslo_policy;
mod oslo_reports;
mod paste_deploy;
mod profiler;
mod service;
mod store_common;
mod store_type_location_strategy;
mod task;
mod taskflow_executor;
mod vault;
mod wsgi;

use super::option::{OptionInfo, Options as _, Section as _};

pub use audit_middleware_notifications::AuditMiddlewareNotificationsSection;
pub use barbican::BarbicanSection;
pub use barbican_service_user::BarbicanServiceUserSection;
pub use cors::CorsSection;
pub use database::DatabaseSection;
pub use default::DefaultSection;
pub use glance_download_properties::GlanceDownloadPropertiesSection;
pub use glance_store::GlanceStoreSection;
pub use healthcheck::HealthcheckSection;
pub use image_conversion::ImageConversionSection;
pub use image_format::ImageFormatSection;
pub use image_import_opts::ImageImportOptsSection;
pub use import_filtering_opts::ImportFilteringOptsSection;
pub use inject_metadata_properties::InjectMetadataPropertiesSection;
pub use key_manager::KeyManagerSection;
pub use keystone_authtoken::KeystoneAuthtokenSection;
pub use oslo_concurrency::OsloConcurrencySection;
pub use oslo_limit::OsloLimitSection;
pub use oslo_messaging_kafka::OsloMessagingKafkaSection;
pub use oslo_messaging_notifications::OsloMessagingNotificationsSection;
pub use oslo_messaging_rabbit::OsloMessagingRabbitSection;
pub use oslo_middleware::OsloMiddlewareSection;
pub use oslo_policy::OsloPolicySection;
pub use oslo_reports::OsloReportsSection;
pub use paste_deploy::PasteDeploySection;
pub use profiler::ProfilerSection;
pub use service::ServiceSection;
pub use store_common::StoreCommonSection;
pub use store_type_location_strategy::StoreTypeLocationStrategySection;
pub use task::TaskSection;
pub use taskflow_executor::TaskflowExecutorSection;
pub use vault::VaultSection;
pub use wsgi::WsgiSection;

/// Gives the list of sections to a macro: the name of the field in [`Config`](super::Config), and the type.
macro_rules! all {
    ($to:ident) => {
        $to! {
            default: DefaultSection,
            audit_middleware_notifications: AuditMiddlewareNotificationsSection,
            barbican: BarbicanSection,
            barbican_service_user: BarbicanServiceUserSection,
            cors: CorsSection,
            database: DatabaseSection,
            glance_download_properties: GlanceDownloadPropertiesSection,
            glance_store: GlanceStoreSection,
            healthcheck: HealthcheckSection,
            image_conversion: ImageConversionSection,
            image_format: ImageFormatSection,
            image_import_opts: ImageImportOptsSection,
            import_filtering_opts: ImportFilteringOptsSection,
            inject_metadata_properties: InjectMetadataPropertiesSection,
            key_manager: KeyManagerSection,
            keystone_authtoken: KeystoneAuthtokenSection,
            oslo_concurrency: OsloConcurrencySection,
            oslo_limit: OsloLimitSection,
            oslo_messaging_kafka: OsloMessagingKafkaSection,
            oslo_messaging_notifications: OsloMessagingNotificationsSection,
            oslo_messaging_rabbit: OsloMessagingRabbitSection,
            oslo_middleware: OsloMiddlewareSection,
            oslo_policy: OsloPolicySection,
            oslo_reports: OsloReportsSection,
            paste_deploy: PasteDeploySection,
            profiler: ProfilerSection,
            service: ServiceSection,
            store_type_location_strategy: StoreTypeLocationStrategySection,
            task: TaskSection,
            taskflow_executor: TaskflowExecutorSection,
            vault: VaultSection,
            wsgi: WsgiSection,
        }
    };
}
pub(in crate::config) use all;

macro_rules! tables {
    ($( $field:ident: $section:ident, )+) => {
        /// Each section of the file with its options, without those that the drivers of stores have.
        pub(in crate::config) static TABLES: &[(&str, &[OptionInfo])] = &[$( ($section::NAME, $section::OPTIONS), )+];
    };
}
all!(tables);

//! `[oslo_messaging_kafka]`.

use crate::config::option::{section, tier3};

section! {
    /// Options of `[oslo_messaging_kafka]`.
    OsloMessagingKafkaSection = "oslo_messaging_kafka" {
        /// Producer compression.
        compression_codec: String = "none", tier3().choices(&["none", "gzip", "snappy", "lz4", "zstd"]);
        /// Consumer group; unused by a notifier.
        consumer_group: String = "oslo_messaging_consumer", tier3();
        /// Consumer auto commit; unused by a notifier.
        enable_auto_commit: bool = false, tier3();
        /// Consumer poll timeout; unused by a notifier.
        kafka_consumer_timeout: f64 = 1.0, tier3();
        /// Consumer fetch size; unused by a notifier.
        kafka_max_fetch_bytes: i64 = 1_048_576, tier3();
        /// Consumer poll size; unused by a notifier.
        max_poll_records: i64 = 500, tier3();
        /// Producer batch size.
        producer_batch_size: i64 = 16_384, tier3();
        /// Producer batching delay.
        producer_batch_timeout: f64 = 0.0, tier3();
        /// Kafka SASL mechanism.
        sasl_mechanism: String = "PLAIN", tier3();
        /// Kafka transport security.
        security_protocol: String = "PLAINTEXT", tier3().choices(&["PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL"]);
        /// Kafka CA file.
        ssl_cafile: String = "", tier3().file();
        /// Kafka client certificate.
        ssl_client_cert_file: String = "", tier3().file();
        /// Kafka client key.
        ssl_client_key_file: String = "", tier3().file();
        /// Password of that key.
        ssl_client_key_password: String = "", tier3().secret();
    }
}

//! What a caller may do: the oslo.policy rule language, Glance's default rules, the enforcer.

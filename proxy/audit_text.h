/*
 * Members of audit records: what a verdict rests on, what let an image pass, what a reload changed.
 *
 * Threads: any; no shared state
 */
#ifndef PROXY_AUDIT_TEXT_H
#define PROXY_AUDIT_TEXT_H

#include "gatehouse.h"
#include "policy/decide.h"

struct config_change;
struct text;

#define AUDIT_TEXT_MAX_CANDIDATES 24 /* written of one verdict; the rest is counted */

/* verdict, reason, cause, message, until, proved_time, authorities, rests_on, log_entries,
 * candidates
 */
void audit_text_verdict(struct text *out, const struct verdict *verdict);
/* bypasses, exceptions with their days left, warned: nothing where nothing was let pass. */
void audit_text_passes(struct text *out, const struct decision *decision);
/* tenant, kind, name, what, before, after */
void audit_text_change(struct text *out, const struct config_change *change);

/* "rests_on": the keys, certificates, roots and evidence of a verdict. */
void audit_text_rests(struct text *out, const struct verdict *verdict);

#endif

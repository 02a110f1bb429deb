package io.splitcompute.head;

import io.micronaut.serde.annotation.Serdeable;

/**
 * The cloud's side of a request's ledger.
 *
 * @param layers layers that ran in the cloud
 * @param tokens tokens that ran through them
 * @param waitMilliseconds from the request's arrival to the start of its run
 * @param runMilliseconds of the device
 */
@Serdeable
record CloudLedger(int layers, int tokens, double waitMilliseconds, double runMilliseconds) {}

/**
 * Shares a device between requests: one queue, batches of mixed lengths and cuts, one thread a
 * device.
 */
@NullMarked
package io.splitcompute.head.schedule;

import org.jspecify.annotations.NullMarked;

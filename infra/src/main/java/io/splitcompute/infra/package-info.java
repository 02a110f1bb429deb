/** The CDK application. */
@NullMarked
package io.splitcompute.infra;

import org.jspecify.annotations.NullMarked;

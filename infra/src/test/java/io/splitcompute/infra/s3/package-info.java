@NullMarked
package io.splitcompute.infra.s3;

import org.jspecify.annotations.NullMarked;

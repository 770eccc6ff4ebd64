: Hyperpolarisation-activated current of the basal dendrite, g q.
NEURON { SUFFIX basal_h NONSPECIFIC_CURRENT i RANGE g, e }
UNITS { (mV) = (millivolt) (S) = (siemens) (mA) = (milliamp) }
PARAMETER { g = 0 (S/cm2) e = -47 (mV) }
ASSIGNED { v (mV) i (mA/cm2) q_inf tau_q (ms) }
STATE { q }
INITIAL { rates(v) q = q_inf }
BREAKPOINT { SOLVE gates METHOD cnexp i = g*q*(v - e) }
DERIVATIVE gates { rates(v) q' = (q_inf - q)/tau_q }
PROCEDURE rates(v (mV)) { LOCAL a, b
  a = 0.00643*(v + 154.9)/(exp((v + 154.9)/11.9) - 1) b = 0.193*exp(v/33.1)
  q_inf = a/(a + b) tau_q = 1/(a + b)
}

: Kv3 of the apical tree, g m.
NEURON { SUFFIX apical_kv3 NONSPECIFIC_CURRENT i RANGE g, e }
UNITS { (mV) = (millivolt) (S) = (siemens) (mA) = (milliamp) }
PARAMETER { g = 0 (S/cm2) e = -77 (mV) }
ASSIGNED { v (mV) i (mA/cm2) m_inf tau_m (ms) }
STATE { m }
INITIAL { rates(v) m = m_inf }
BREAKPOINT { SOLVE gates METHOD cnexp i = g*m*(v - e) }
DERIVATIVE gates { rates(v) m' = (m_inf - m)/tau_m }
PROCEDURE rates(v (mV)) {
  m_inf = 1/(1 + exp(-(v - 18.7)/9.7))
  tau_m = 4/(1 + exp(-(v + 46.56)/44.14))
}

: M-type potassium of the soma, g m.
NEURON { SUFFIX soma_m NONSPECIFIC_CURRENT i RANGE g, e }
UNITS { (mV) = (millivolt) (S) = (siemens) (mA) = (milliamp) }
PARAMETER { g = 0 (S/cm2) e = -80 (mV) }
ASSIGNED { v (mV) i (mA/cm2) m_inf tau_m (ms) }
STATE { m }
INITIAL { rates(v) m = m_inf }
BREAKPOINT { SOLVE gates METHOD cnexp i = g*m*(v - e) }
DERIVATIVE gates { rates(v) m' = (m_inf - m)/tau_m }
PROCEDURE rates(v (mV)) {
  m_inf = 1/(1 + exp(-(v + 35)/10))
  tau_m = 920.083444697917/(3.3*exp((v + 35)/20) + exp(-(v + 35)/20))
}
